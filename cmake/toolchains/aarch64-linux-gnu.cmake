# 64-bit ARM with Debian's cross compiler, whose programs run under qemu's emulation of a processor.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(triple aarch64-linux-gnu)
set(CMAKE_CXX_COMPILER ${triple}-g++)
# That std::pair is passed otherwise than by GCC 9 is no news.
set(CMAKE_CXX_FLAGS_INIT -Wno-psabi)

# Packages that are headers alone may be this machine's; libraries and programs to link with may not.
set(CMAKE_FIND_ROOT_PATH /usr/${triple})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE BOTH)
# xtensor is such a package, though Debian keeps what CMake reads of it with this machine's libraries.
file(GLOB xtensor_DIR /usr/lib/*/cmake/xtensor)

find_program(COCA_QEMU NAMES qemu-aarch64-static qemu-aarch64)
mark_as_advanced(COCA_QEMU)
if(COCA_QEMU)
  set(CMAKE_CROSSCOMPILING_EMULATOR ${COCA_QEMU} -L /usr/${triple})
endif()
