#include "arguments.hpp"
#include "command_line/program.hpp"
#include "run.hpp"

/// Exit codes: 0 done, 1 wrong values or shapes, 2 wrong command line, 3 a file that cannot be read
/// or written or holds another kind of array. Nothing is written unless all is well.
int main(int argc, char** argv) {
  attend::Arguments arguments;
  if (const auto code = attend::parse(argc, argv, arguments)) return *code;
  return command_line::run_program("attend", [&] {
    const attend::Inputs inputs{command_line::read_npy(arguments.q),
                                command_line::read_npy(arguments.k),
                                command_line::read_npy(arguments.v)};
    command_line::with_element_type(inputs.q,
                                    [&]<class T>(T) { attend::run<T>(arguments, inputs); });
  });
}
