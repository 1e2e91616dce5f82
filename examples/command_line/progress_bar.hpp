#pragma once

#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>

namespace command_line {

/// One line on stderr that shows how far a program is; nothing where stderr is no terminal.
class ProgressBar {
 public:
  explicit ProgressBar(long steps) : steps_(std::max(steps, 1L)) {}
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;
  ~ProgressBar() {
    if (shown_) std::fputc('\n', stderr);
  }

  void show(long done, double per_second) {
    char text[48];
    std::snprintf(text, sizeof text, "%.1f tokens/s", per_second);
    show(done, std::string(text));
  }
  void show(long done, const std::string& text) {
    if (!shown_) return;
    constexpr long width = 40;
    const auto full = static_cast<std::size_t>(std::min(width, width * done / steps_));
    std::fprintf(stderr, "\r[%-*s] %ld/%ld  %s ", static_cast<int>(width),
                 std::string(full, '#').c_str(), done, steps_, text.c_str());
    std::fflush(stderr);
  }

 private:
  long steps_;
  bool shown_ = isatty(STDERR_FILENO) != 0;
};

}  // namespace command_line
