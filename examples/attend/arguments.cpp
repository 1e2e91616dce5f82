#include "arguments.hpp"

#include <filesystem>

#include "command_line/cli.hpp"
#include "command_line/program.hpp"

namespace attend {

namespace {

/// A file that would be written twice is a slip of the hand.
void check_together(const Arguments& a) {
  namespace fs = std::filesystem;
  std::error_code ignored;
  if (!a.lse.empty() &&
      (fs::absolute(a.lse).lexically_normal() == fs::absolute(a.out).lexically_normal() ||
       fs::equivalent(a.lse, a.out, ignored))) {
    throw CLI::ValidationError("--lse", a.lse + " is the file of --out");
  }
}

}  // namespace

std::optional<int> parse(int argc, char** argv, Arguments& a) {
  CLI::App app(
      "Attention over .npy files: out = softmax(mask(scale * score(q, k))) v.\n"
      "q is [batch, sequence, heads, head_dim], k and v have their own sequence and heads; or each "
      "is [sequence, head_dim]. float16, float32 or float64, all three alike.",
      "attend");
  app.set_version_flag("--version", command_line::version());
  app.add_option("q", a.q, "queries")->required();
  app.add_option("k", a.k, "keys, or t or x for the CoCA schemes")->required();
  app.add_option("v", a.v, "values")->required();
  app.add_option("-o,--out", a.out, "where the output goes")->required();
  app.add_option("--lse", a.lse, "where the log-sum-exp goes, [batch, heads, sequence]");

  command_line::add_scheme_options(app, a);

  command_line::add_mask_options(app, a);
  app.add_option("--bool-mask", a.bool_mask,
                 "a bool file, true where a query sees a key: [batch, heads, queries, keys] with 1 "
                 "for 'the same for all', or [queries, keys]")
      ->group(command_line::kMaskGroup);
  app.add_option("--bias", a.bias, "a file of q's type added to the scores, of the same shapes")
      ->group(command_line::kMaskGroup);

  const std::string scores = "Scores";
  app.add_option("--scale", a.scale, "factor on the scores; 1/sqrt(head_dim) unless given")
      ->group(scores);
  app.add_option("--soft-cap", a.soft_cap, "c: scores become c tanh(score/c) before the mask")
      ->group(scores);
  app.add_option("--sinks", a.sinks, "a float32 or float64 file of one extra logit a query head")
      ->group(scores);
  app.add_flag("--checked", a.checked, "refuse a negative t")->group(scores);

  const std::string positions = "Positions, in tokens";
  app.add_option("--first-query", a.first_query,
                 "of the first query; unless given, the last query stands where the last key does")
      ->group(positions);
  app.add_option("--first-key", a.first_key, "of the first key")->group(positions);
  app.add_option(
         "--query-ids", a.query_ids,
         "an int64 file [batch or 1, sequence]: positions for the scheme, not for the masks")
      ->group(positions);
  app.add_option("--key-ids", a.key_ids, "the same for keys")->group(positions);

  app.add_option("--threads", a.threads, "threads to use")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag("-v,--verbose", a.verbose, "say what was done and how long it took");

  try {
    app.parse(argc, argv);
    command_line::check_scheme_options(app, a);
    command_line::check_mask_options(app, a);
    check_together(a);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
}

}  // namespace attend
