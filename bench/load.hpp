#pragma once

#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <fstream>
#include <string>

#include "machine.hpp"

/// Who else is at work: a number taken beside other programs says little.
namespace bench {

/// Seconds that all processors were at work since the machine started, stolen ones included; 0
/// where Linux's /proc is not there.
inline double processor_seconds() {
  std::ifstream file("/proc/stat");
  std::string word;
  double user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, stolen = 0;
  file >> word >> user >> nice >> system >> idle >> wait >> irq >> soft >> stolen;
  return (user + nice + system + irq + soft + stolen) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

/// Processors that this program has kept busy since the object was made.
class OwnLoad {
 public:
  double own() const {
    return static_cast<double>(std::clock() - clock_) / CLOCKS_PER_SEC / elapsed();
  }

 protected:
  double elapsed() const { return seconds() - start_; }

 private:
  double start_ = seconds();
  std::clock_t clock_ = std::clock();
};

/// And those that all others have: reads a file, so not for short times.
class Load : public OwnLoad {
 public:
  double others() const { return std::max(0.0, (processor_seconds() - busy_) / elapsed() - own()); }

 private:
  double busy_ = processor_seconds();
};

}  // namespace bench
