#pragma once

#include <functional>
#include <ostream>
#include <stdexcept>
#include <string>

/// Files of the command-line programs, of whatever format.
namespace command_line {

/// A file that cannot be read, or does not hold what is wanted of it.
struct FileError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A file under way: written in full beside its place, "<path>.part", which it takes with keep().
/// Without that it goes again, and what stood in its place stays. A device or a pipe is written
/// directly.
class PendingFile {
 public:
  explicit PendingFile(std::string path);
  PendingFile(const PendingFile&) = delete;
  PendingFile& operator=(const PendingFile&) = delete;
  ~PendingFile();

  /// Writes what `content` gives to the stream. Throws FileError if that cannot be done.
  void write(const std::function<void(std::ostream&)>& content) const;

  /// Throws FileError if the file cannot take its place.
  void keep();

 private:
  std::string path_;
  std::string written_;
};

}  // namespace command_line
