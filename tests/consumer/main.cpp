#include <coca/coca.hpp>
#include <cstdio>
#include <cstdlib>
#include <cstring>

// A flag that got lost on the way would go unnoticed: all of it works either way.
static_assert(std::string_view(COCA_VERSION_STRING) == COCA_EXPECTED_VERSION);
static_assert((__cplusplus > 202002L ? 23 : 20) == COCA_EXPECTED_STANDARD);
#if defined(__cpp_exceptions)
static_assert(COCA_EXPECTED_EXCEPTIONS == 1);
#else
static_assert(COCA_EXPECTED_EXCEPTIONS == 0);
#endif

namespace {

using Tensor = Eigen::Tensor<float, 4, Eigen::RowMajor>;

void attend(Tensor& out, const Tensor& t) {
  Tensor q(1, 3, 2, 8), v(1, 3, 1, 8);
  q.setConstant(0.5F);
  v.setConstant(2.0F);
  coca::attention(out, q, t, v, coca::CocaSlack{coca::Rope({.dim = 8})}, coca::Causal{});
}

/// The end of the program: the text of an error is the last thing to be right.
void finish(const char* text) {
  std::puts(text);
  std::exit(std::strstr(text, "coca: k.shape[3]") == text ? 0 : 1);
}

}  // namespace

int main() {
  Tensor out(1, 3, 2, 8), t(1, 3, 1, 4), too_wide(1, 3, 1, 5);
  t.setConstant(1.0F);
  attend(out, t);
  std::printf("%g\n", static_cast<double>(out(0, 2, 1, 7)));
  const float error = out(0, 2, 1, 7) - 2.0F;
  if (!(error < 1e-6F && error > -1e-6F)) return 1;

#if defined(__cpp_exceptions)
  try {
    attend(out, too_wide);
  } catch (const std::invalid_argument& wrong) {
    finish(wrong.what());
  }
#else
  coca::set_error_handler(finish);
  attend(out, too_wide);
#endif
  return 1;
}
