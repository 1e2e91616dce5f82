# Builds the tutorial's project in WORK by the commands of its text, and compares what it prints with the text.
include(${CMAKE_CURRENT_LIST_DIR}/project.cmake)
set(text ${SOURCE}/docs/tutorial.md)
run(${snippets} project ${text} .)
file(MAKE_DIRECTORY ${WORK}/path/to)
file(CREATE_LINK ${SOURCE} ${WORK}/path/to/coca SYMBOLIC)
run(sh -e commands.sh)
run(${snippets} check build/tutorial ${text})
