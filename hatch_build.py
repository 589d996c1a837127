"""Wheels with a compiled hot path: asked for by `make wheel`, never needed to work on the source or to install from it."""

import subprocess
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class CompiledHotPath(BuildHookInterface):  # type: ignore[type-arg]  # the builder's own configuration, which this hook does not read
    """Adds what scripts/compile.sh makes to a wheel, which then belongs to one interpreter and one kind of machine."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Called once for each wheel. An editable one stays as it is: there the source is the program."""
        if version == "editable":
            return
        self._folder = tempfile.TemporaryDirectory()
        made = Path(self._folder.name) / "compiled"
        command = [Path(self.root) / "scripts" / "compile.sh", made]  # with the PYTHON whose packages it must know
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - our own script, no input of anybody's
        libraries = list(made.rglob("*.so"))
        if not libraries:
            raise RuntimeError(f"{made}: nothing was compiled")
        for library in libraries:
            build_data["force_include"][str(library)] = str(library.relative_to(made))
        build_data["pure_python"] = False
        build_data["infer_tag"] = True

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """The wheel is written: what was compiled for it is no longer needed."""
        del build_data, artifact_path
        if version != "editable":
            self._folder.cleanup()
