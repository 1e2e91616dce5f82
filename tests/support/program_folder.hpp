#pragma once

#include <sys/wait.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/bounds.hpp"
#include "support/catch.hpp"
#include "support/npy.hpp"
#include "support/random.hpp"
#include "support/temporary_folder.hpp"

/// A command-line program from outside: files in, files out, exit codes and messages.
namespace test {

/// A folder to run a program in.
class ProgramFolder : public TemporaryFolder {
 public:
  explicit ProgramFolder(std::string program) : program_(std::move(program)) {}

  std::string file(const std::string& name) const { return (path / (name + ".npy")).string(); }
  bool exists(const std::string& name) const { return std::filesystem::exists(file(name)); }
  void save(const std::string& name, const Tensor<float>& x) const {
    const auto& shape = x.view().shape;
    write_npy(file(name), {shape.begin(), shape.end()}, x.storage());
  }

  /// Writes a .npy file byte by byte, as any element type, any order, and wrong ones too.
  void write_raw(const std::string& name, const std::string& descr, const std::string& shape,
                 const void* bytes, std::size_t size, bool fortran_order = false) const {
    std::string header = "{'descr': '" + descr +
                         "', 'fortran_order': " + (fortran_order ? "True" : "False") +
                         ", 'shape': (" + shape + "), }";
    header.append(117 - header.size(), ' ').append("\n");  // 10 bytes before it, 128 with it
    std::ofstream stream(file(name), std::ios::binary);
    stream << "\x93NUMPY\x01" << '\0' << static_cast<char>(header.size()) << '\0' << header;
    stream.write(static_cast<const char*>(bytes), static_cast<std::streamsize>(size));
  }
  template <class T>
  void save_raw(const std::string& name, const std::string& descr, const std::string& shape,
                const std::vector<T>& values, bool fortran_order = false) const {
    write_raw(name, descr, shape, values.data(), values.size() * sizeof(T), fortran_order);
  }
  struct Result {
    int code;
    std::string text;
  };
  /// Runs the program in the folder: "q.npy -o out.npy" stand for the files of these names.
  Result run(const std::string& arguments) const {
    const std::string command =
        "cd '" + path.string() + "' && '" + program_ + "' " + arguments + " >log 2>&1";
    const int status = std::system(command.c_str());
    std::ifstream stream(path / "log");
    std::ostringstream text;
    text << stream.rdbuf();
    return {WEXITSTATUS(status), text.str()};
  }

  /// Largest difference between a result file and what the library says.
  double apart(const std::string& name, const std::vector<float>& expected) const {
    const Npy result = read_npy(file(name));
    REQUIRE(result.values.size() == expected.size());
    double most = 0.0;
    for (std::size_t i = 0; i < expected.size(); ++i) {
      most = worse(most, result.values[i], static_cast<double>(expected[i]));
    }
    return most;
  }

 private:
  std::string program_;
};

}  // namespace test
