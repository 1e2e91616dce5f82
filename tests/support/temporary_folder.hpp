#pragma once

#include <filesystem>
#include <random>
#include <string>

namespace test {

/// A folder of its own, which goes with what is in it.
class TemporaryFolder {
 public:
  const std::filesystem::path path = std::filesystem::temp_directory_path() /
                                     ("coca_test_" + std::to_string(std::random_device{}()));

  TemporaryFolder() { std::filesystem::create_directory(path); }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() { std::filesystem::remove_all(path); }
};

}  // namespace test
