"""The Conan 2 recipe: conan create cmake/conan"""

import pathlib
import re

from conan import ConanFile
from conan.tools.build import check_min_cppstd
from conan.tools.files import copy


class Coca(ConanFile):
    name = "coca"
    description = "Attention kernels for CPUs, on Eigen: standard attention, RoPE and CoCA"
    license = "Apache-2.0"
    topics = ("attention", "transformer", "rope", "eigen", "header-only")
    package_type = "header-library"
    settings = "os", "arch", "compiler", "build_type"
    no_copy_source = True

    @property
    def _tree(self):
        return pathlib.Path(self.recipe_folder).parent.parent

    def set_version(self):
        text = (self._tree / "include/coca/core/version.hpp").read_text(encoding="utf-8")
        self.version = ".".join(re.findall(r"#define COCA_VERSION_[A-Z]+ (\d+)", text))

    def export_sources(self):
        for pattern in ("include/*", "LICENSE", "cmake/coca-kernels.cmake"):
            copy(self, pattern, self._tree, self.export_sources_folder)

    def requirements(self):
        self.requires("eigen/3.4.0", transitive_headers=True)

    def validate(self):
        check_min_cppstd(self, 20)

    def package(self):
        copy(self, "include/*", self.source_folder, self.package_folder)
        copy(self, "cmake/coca-kernels.cmake", self.source_folder, self.package_folder)
        copy(self, "LICENSE", self.source_folder, f"{self.package_folder}/licenses")

    def package_id(self):
        self.info.clear()

    def package_info(self):
        self.cpp_info.bindirs = []
        self.cpp_info.libdirs = []
        # The target coca::kernels.
        self.cpp_info.set_property("cmake_build_modules", ["cmake/coca-kernels.cmake"])
        if self.settings.os in ("Linux", "FreeBSD"):
            self.cpp_info.system_libs = ["pthread"]
