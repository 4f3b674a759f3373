"""`make sbom`: what set-up and images bring, as CycloneDX JSON on standard output.

Every package of requirements.lock and every jar of jars.lock.toml, with versions, checksums and licences; the jars
within the registry's archive by their names. A package's licence is what its installed metadata says; a package that is
not installed here, because it is for another system, has none. What Debian's packages bring into images is not in it.
"""

from __future__ import annotations

import importlib.metadata
import re
import runpy
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import ExternalReference, ExternalReferenceType, HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.model.license import License
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

from shardlake.install import jars, layout

ROOT = Path(__file__).parents[1]
LICENCES: dict[str, str] = tomllib.loads((ROOT / "legal" / "jars.toml").read_text())["licences"]
CLASSIFIER = "License :: OSI Approved :: "


def bom() -> Bom:
    """Build the whole document of parts and licences."""
    found = Bom(components=[*packages((ROOT / "requirements.lock").read_text()), *locked_jars()])
    root = found.metadata.component = Component(
        name="shardlake",
        type=ComponentType.APPLICATION,
        version=importlib.metadata.version("shardlake"),
        bom_ref="shardlake",
        licenses=[LicenseFactory().make_from_string("Apache-2.0")],
    )
    found.register_dependency(root, found.components)
    return found


def packages(lock: str) -> Iterator[Component]:
    """The packages of a requirements.lock: one for each version, with the checksums of all its files."""
    entries: dict[str, str] = runpy.run_path(str(ROOT / "docker" / "requirements_of.py"))["entries"](lock)
    for name, text in entries.items():
        for version in sorted(set(re.findall(r"^\S+==([^\s;\\]+)", text, re.MULTILINE))):
            purl = PackageURL("pypi", name=name, version=version)
            checksums = [HashType(alg=HashAlgorithm.SHA_256, content=one) for one in re.findall(r"sha256:(\w+)", text)]
            files = ExternalReference(
                type=ExternalReferenceType.DISTRIBUTION, url=XsUri(purl.to_string()), hashes=checksums
            )
            licence = licence_of(name)
            yield Component(
                name=name,
                version=version,
                type=ComponentType.LIBRARY,
                purl=purl,
                bom_ref=purl.to_string(),
                licenses=[licence] if licence else [],
                external_references=[files],
            )


def licence_of(package: str) -> License | None:
    """Return the licence that a package's metadata names: an expression, a classifier, or the first line of a text."""
    try:
        told = importlib.metadata.metadata(package)
    except importlib.metadata.PackageNotFoundError:
        return None
    classifiers = [one.removeprefix(CLASSIFIER) for one in told.get_all("Classifier") or [] if CLASSIFIER in one]
    text, *_ = str(told.json.get("license", "")).strip().split("\n")
    licence = told.json.get("license_expression") or " AND ".join(sorted(classifiers)) or text
    return LicenseFactory().make_from_string(str(licence)) if licence else None


def locked_jars() -> Iterator[Component]:
    """The jars of jars.lock.toml; one that several servers have is there once, with the role of each."""
    roles: dict[jars.Jar, list[str]] = {}
    first: dict[str, jars.Jar] = {}
    for jar in jars.pinned():
        roles.setdefault(first.setdefault(jar.sha256, jar), []).append(jar.role)
    for jar, used in roles.items():
        qualifiers = {"type": jar.packaging, **({"classifier": jar.classifier} if jar.classifier else {})}
        purl = PackageURL("maven", jar.group, jar.artifact, jar.version, qualifiers)
        yield Component(
            group=jar.group,
            name=jar.artifact,
            version=jar.version,
            type=ComponentType.LIBRARY,
            purl=purl,
            bom_ref=purl.to_string(),
            licenses=[LicenseFactory().make_from_string(LICENCES[jar.group])],
            hashes=[HashType(alg=HashAlgorithm.SHA_256, content=jar.sha256)],
            properties=[Property(name="shardlake:role", value=role) for role in used],
            components=list(within_registry()) if jar.role == "registry" else [],
        )


def within_registry() -> Iterator[Component]:
    """What the registry's archive says it is made of; nothing where it is not unpacked."""
    listed = layout.REGISTRY / "quarkus-app-dependencies.txt"
    for line in listed.read_text().split() if listed.exists() else ():
        group, name, classifier, packaging, version = line.split(":")
        qualifiers = {"type": packaging, **({"classifier": classifier} if classifier else {})}
        purl = PackageURL("maven", group, name, version, qualifiers)
        yield Component(
            group=group, name=name, version=version, type=ComponentType.LIBRARY, purl=purl,
            bom_ref=f"registry/{purl.to_string()}",
        )  # fmt: skip


if __name__ == "__main__":
    sys.stdout.write(JsonV1Dot6(bom()).output_as_string(indent=2) + "\n")
