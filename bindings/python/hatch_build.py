"""Puts the shared library into wheels and the Rust sources into source distributions. Both need cargo, and a
wheel all that bindings/build needs; installing a wheel needs nothing."""

import os
import pathlib
import subprocess
import sysconfig
import tarfile
import tempfile

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class BuildHook(BuildHookInterface):
    def initialize(self, version, build_data):
        self.work = tempfile.TemporaryDirectory()
        work, here = pathlib.Path(self.work.name), pathlib.Path(self.root)
        # In a source distribution the sources lie beside this file.
        sources = here / "rust" if (here / "rust").exists() else here.parents[1]
        include = build_data["force_include"]
        if self.target_name == "wheel":
            subprocess.run(["bash", sources / "bindings" / "build", work], check=True)
            include[str((work / "librelgrad.so").resolve())] = "relgrad/librelgrad.so"
            for name in ("LICENSE-APACHE", "LICENSE-MIT"):
                include[str(sources / name)] = "relgrad/" + name
            # ctypes: any Python 3.
            platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
            build_data.update(pure_python=False, tag="py3-none-" + platform)
        elif sources == here / "rust":
            include[str(sources)] = "rust"
        else:
            # What cargo would publish, which builds by itself.
            subprocess.run([os.environ.get("CARGO", "cargo"), "package", "--package", "relgrad", "--no-verify",
                            "--allow-dirty", "--quiet", "--target-dir", work], cwd=sources, check=True)
            crate, = (work / "package").glob("relgrad-*.crate")
            with tarfile.open(crate) as files:
                files.extractall(work)
            include[str(work / crate.stem)] = "rust"

    def finalize(self, version, build_data, artifact_path):
        self.work.cleanup()
