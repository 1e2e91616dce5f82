"""The installed Eigen under the name of Conan's own package, so that a test needs no server."""

from conan import ConanFile
from conan.tools.files import copy
from conan.tools.gnu import PkgConfig


class InstalledEigen(ConanFile):
    name = "eigen"
    version = "3.4.0"
    package_type = "header-library"

    def package(self):
        (headers,) = PkgConfig(self, "eigen3").includedirs
        copy(self, "*", headers, f"{self.package_folder}/include/eigen3")

    def package_info(self):
        self.cpp_info.set_property("cmake_file_name", "Eigen3")
        self.cpp_info.set_property("cmake_target_name", "Eigen3::Eigen")
        self.cpp_info.includedirs = ["include/eigen3"]
