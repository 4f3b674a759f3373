"""Which metrics a PromQL expression asks for, and which there are."""

from __future__ import annotations

import re
from collections.abc import Set
from typing import Any

import yaml

from shardlake.cli.metrics_page import exported
from tests.support import ROOT

RULES_FILE = ROOT / "docker" / "prometheus" / "rules.yaml"
RULES: list[dict[str, Any]] = [
    rule for group in yaml.safe_load(RULES_FILE.read_text())["groups"] for rule in group["rules"]
]

PROMETHEUS = {"up", "ALERTS"}
NOT_NAMES = {"and", "or", "unless", "bool", "offset", "by", "without", "on", "ignoring", "Inf", "NaN"} | {
    "group_left",
    "group_right",
}
WITH_LABELS = r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\([^)]*\)"


def known() -> Set[str]:
    """All that is exported, recorded by a rule, or made by Prometheus itself."""
    return PROMETHEUS | {metric.name for metric in exported()} | {rule["record"] for rule in RULES if "record" in rule}


def asked(expr: str) -> Set[str]:
    """The names of the metrics in an expression."""
    left = re.sub(r'"(?:[^"\\]|\\.)*"', "", expr)
    left = re.sub(r"\{[^}]*\}|\[[^\]]*\]", "", left)
    left = re.sub(WITH_LABELS, "", left)
    left = re.sub(r"\boffset\s+\S+", "", left)
    return set(re.findall(r"(?<![\w.:$])[A-Za-z_:][\w:]*\b(?!\s*\()", left)) - NOT_NAMES
