"""That the package serves the same consumer as every other way to use the library."""

import os

from conan import ConanFile
from conan.tools.build import can_run
from conan.tools.cmake import CMake, cmake_layout


class CocaConsumer(ConanFile):
    settings = "os", "arch", "compiler", "build_type"
    generators = "CMakeDeps", "CMakeToolchain"

    def requirements(self):
        self.requires(self.tested_reference_str)

    def layout(self):
        cmake_layout(self)

    def build(self):
        cmake = CMake(self)
        expected = {
            "COCA_VERSION": str(self.dependencies["coca"].ref.version),
            "COCA_STANDARD": str(self.settings.compiler.cppstd).removeprefix("gnu"),
            "COCA_EXCEPTIONS": "1",
            "COCA_LIBRARY": "coca::kernels",
        }
        cmake.configure(variables=expected, build_script_folder="../../../tests/consumer")
        cmake.build()

    def test(self):
        if can_run(self):
            self.run(os.path.join(self.cpp.build.bindir, "consumer"), env="conanrun")
