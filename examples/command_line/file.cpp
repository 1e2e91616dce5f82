#include "command_line/file.hpp"

#include <filesystem>
#include <fstream>
#include <utility>

namespace command_line {

namespace fs = std::filesystem;

PendingFile::PendingFile(std::string path) : path_(std::move(path)), written_(path_) {
  std::error_code ignored;
  if (!fs::exists(path_, ignored) || fs::is_regular_file(path_, ignored)) written_ += ".part";
}

PendingFile::~PendingFile() {
  std::error_code ignored;
  if (written_ != path_) fs::remove(written_, ignored);
}

void PendingFile::write(const std::function<void(std::ostream&)>& content) const {
  std::ofstream stream(written_, std::ios::binary);
  content(stream);
  stream.close();
  if (!stream) throw FileError(path_ + " cannot be written");
}

void PendingFile::keep() {
  if (written_ == path_) return;
  std::error_code error;
  fs::rename(written_, path_, error);
  if (error) throw FileError(path_ + " cannot be written");
  written_ = path_;
}

}  // namespace command_line
