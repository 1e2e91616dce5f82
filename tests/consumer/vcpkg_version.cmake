# That the vcpkg port, whose manifest repeats the version, is of this one.
file(READ ${SOURCE}/cmake/vcpkg/coca/vcpkg.json manifest)
string(JSON version GET "${manifest}" version)
if(NOT version STREQUAL VERSION)
  message(FATAL_ERROR "cmake/vcpkg/coca/vcpkg.json says ${version}, the library ${VERSION}")
endif()
