"""relgrad for Conan 2, built from this source tree: conan create bindings/packages/conan

With -o "relgrad/*:shared=True" the shared library. Needs Rust, bash, GNU binutils and Linux; cargo
brings three small crates, from its own cache where there is no network."""

import os
import re

from conan import ConanFile
from conan.tools.cmake import CMake, CMakeToolchain, cmake_layout
from conan.tools.files import copy, load, rm, rmdir
from conan.errors import ConanInvalidConfiguration

PARTS = ["Cargo.toml", "Cargo.lock", "build.rs", "CMakeLists.txt", "LICENSE-*", "README.md", "src/*",
         "include/*", "benches/Cargo.toml", "bindings/build", "bindings/localize", "bindings/share",
         "bindings/cmake/*", "bindings/pkgconfig/*"]


class Relgrad(ConanFile):
    name = "relgrad"
    description = "Invertible networks trained by exact maximum likelihood with relative gradients"
    license = "MIT OR Apache-2.0"
    topics = ("density-estimation", "normalizing-flow", "ica")
    package_type = "library"
    settings = "os", "arch", "compiler", "build_type"
    options = {"shared": [True, False]}
    default_options = {"shared": False}

    @property
    def _root(self):
        return os.path.join(self.recipe_folder, "..", "..", "..")

    def set_version(self):
        manifest = load(self, os.path.join(self._root, "Cargo.toml"))
        self.version = re.search(r'^version = "(.*)"', manifest, re.MULTILINE).group(1)

    def export_sources(self):
        for part in PARTS:
            copy(self, part, self._root, self.export_sources_folder)

    def configure(self):
        self.settings.rm_safe("compiler.cppstd")
        self.settings.rm_safe("compiler.libcxx")

    def validate(self):
        if self.settings.os != "Linux":
            raise ConanInvalidConfiguration("relgrad's libraries for C are built on Linux")

    def layout(self):
        cmake_layout(self)

    def generate(self):
        toolchain = CMakeToolchain(self)
        toolchain.cache_variables["CMAKE_INSTALL_LIBDIR"] = "lib"
        toolchain.generate()

    def build(self):
        cmake = CMake(self)
        cmake.configure()
        cmake.build()

    def package(self):
        copy(self, "LICENSE-*", self.source_folder, os.path.join(self.package_folder, "licenses"))
        CMake(self).install()
        lib = os.path.join(self.package_folder, "lib")
        rm(self, "librelgrad.a" if self.options.shared else "librelgrad.so*", lib)
        # Conan writes these for its consumers.
        rmdir(self, os.path.join(lib, "cmake"))
        rmdir(self, os.path.join(lib, "pkgconfig"))

    def package_info(self):
        self.cpp_info.libs = ["relgrad"]
        self.cpp_info.set_property("pkg_config_name", "relgrad")
        self.cpp_info.set_property("cmake_file_name", "relgrad")
        self.cpp_info.set_property("cmake_target_name", "relgrad::relgrad" if self.options.shared else "relgrad::static")
        if not self.options.shared:
            self.cpp_info.system_libs = ["util", "rt", "pthread", "m", "dl"]
