"""The FinOps Foundation's own validator of FOCUS, in an environment of its own: it needs a newer Python and older parts than we do.

It is fetched once into `.judges/focus/` and then works without a network: the rules of version 1.2 are part of it. Its exit code is
0 whatever it finds, so its report is read.
"""

import functools
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

from tests.judges import own_environment
from tests.judges.own_environment import EnvironmentUnavailableError, told

FOLDER = own_environment.JUDGES / "focus"
PACKAGES = ("focus-validator==2.2.1", "pyarrow<21")
"""The newest pyarrow refuses the numpy that the validator asks for."""
PYTHONS = ("3.12", "3.13")
"""It needs 3.12 at least; later ones than these have no ready-made numpy of the version that it asks for."""
CRITERIA = (
    "ACCOUNT_NAMING_SUPPORTED", "BILLING_BASED_ON_PROVISIONED_RESOURCES_SUPPORTED", "MULTIPLE_BILLING_ACCOUNT_TYPES_SUPPORTED",
    "MULTIPLE_PRICING_CATEGORIES_SUPPORTED", "MULTIPLE_SUB_ACCOUNT_TYPES_SUPPORTED", "NEGOTIATED_PRICING_SUPPORTED",
    "PRICING_BILLING_CURRENCY_DIFFERENCES_SUPPORTED", "PUBLIC_PRICE_LIST_SUPPORTED", "RESOURCE_TYPE_ASSIGNMENT_SUPPORTED",
    "SUB_ACCOUNT_SUPPORTED", "TAGGING_SUPPORTED", "UNIT_PRICING_SUPPORTED", "USAGE_MEASUREMENT_SUPPORTED", "VIRTUAL_CURRENCY_SUPPORTED",
)  # fmt: skip
"""14 of 18: zones, regions, capacity reservations and commitment discounts are not claimed (docs/focus.md)."""
NO_PROXY = "http://127.0.0.1:9"
"""Where nobody listens: what would be fetched on the way is missed."""


@dataclass(frozen=True)
class Verdict:
    """How many rules were asked, and which failed or could not be asked for the same reason, those that only gather others included."""

    asked: int
    skipped: int
    failed: frozenset[str]


@functools.cache
def python() -> str:
    """A Python that the validator runs on: on the path, or among those that pyenv keeps beside it."""
    if "{}.{}".format(*sys.version_info) in PYTHONS:
        return sys.executable
    found = [path for version in PYTHONS if (path := shutil.which(f"python{version}"))]
    if pyenv := shutil.which("pyenv"):
        root = Path(told(pyenv, "root").strip())
        found += [str(path) for version in PYTHONS for path in sorted(root.glob(f"versions/{version}.*/bin/python"))]
    for path in found:
        if subprocess.run([path, "-c", "import venv"], capture_output=True, check=False).returncode == 0:
            return path
    raise EnvironmentUnavailableError(f"there is no Python {' or '.join(PYTHONS)}")


def prepare() -> Path:
    """The validator's program. Raises EnvironmentUnavailableError."""
    return own_environment.prepare(FOLDER, python(), PACKAGES) / "focus-validator"


def judged(file: Path) -> Verdict:
    """What the validator says of a file. It looks for its own table of currencies where it is started."""
    report = file.with_suffix(".xml")
    [packages] = (FOLDER / "venv" / "lib").glob("python3.*/site-packages")
    done = subprocess.run(
        [
            prepare(), "--data-file", file, "--validate-version", "1.2.0.1", "--focus-dataset", "CostAndUsage", "--block-download",
            "--applicability-criteria", ",".join(CRITERIA), "--output-type", "unittest", "--output-destination", report,
        ],
        cwd=packages, env=own_environment.variables() | {"HTTP_PROXY": NO_PROXY, "HTTPS_PROXY": NO_PROXY}, capture_output=True, text=True,
        timeout=100, check=False,
    )  # fmt: skip
    assert report.exists(), f"the validator itself broke: {done.stdout[-2000:]}{done.stderr[-2000:]}"
    suites = ET.parse(report).getroot()
    failed = frozenset(
        str(case.get("name")).partition(" :: ")[0]
        for case in suites.iter("testcase")
        if case.find("failure") is not None or case.find("error") is not None
    )
    return Verdict(asked=int(str(suites.get("tests"))), skipped=int(str(suites.get("skipped"))), failed=failed)
