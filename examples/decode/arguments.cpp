#include "decode/arguments.hpp"

#include "command_line/cli.hpp"
#include "command_line/program.hpp"

namespace decode {

namespace {

/// A flag of another cache would change nothing: a slip of the hand.
void check_together(const CLI::App& app, const Arguments& a) {
  const auto for_cache = [&](const std::string& flag, const std::string& cache) {
    if (app.count(flag) == 0 || a.cache == cache) return;
    throw CLI::ValidationError(flag, "goes with --cache " + cache);
  };
  for_cache("--page-tokens", "paged");
  for_cache("--sinks", "rolling");
  for_cache("--window", "rolling");
  if (a.cache != "rolling") return;
  for (const char* flag : {"--mrope-ids", "--mask", "--any-mask"}) {
    if (app.count(flag) == 0) continue;
    throw CLI::ValidationError(flag, "goes with a cache whose tokens stay where they are");
  }
}

}  // namespace

std::optional<int> parse(int argc, char** argv, Arguments& a) {
  CLI::App app(
      "Causal attention over .npy files through a cache, as in generation: a first part of the "
      "tokens in one call, the others one by one. Masks hide more of it.\n"
      "q is [batch, tokens, heads, head_dim], k and v have their own heads; or each is [tokens, "
      "width]. float16, float32 or float64, all three alike.",
      "decode");
  app.set_version_flag("--version", command_line::version());
  app.add_option("q", a.q, "queries")->required();
  app.add_option("k", a.k, "keys, or t or x for the CoCA schemes")->required();
  app.add_option("v", a.v, "values")->required();
  app.add_option("-o,--out", a.out, "where the output goes, rows of all tokens")->required();
  app.add_option("--prefill", a.prefill, "tokens that go into the cache in one call, first of all")
      ->capture_default_str();

  command_line::add_scheme_options(app, a);
  command_line::add_mask_options(app, a);

  const std::string cache = "Cache";
  app.add_option("--cache", a.cache, "which kind")
      ->check(CLI::IsMember({"growing", "paged", "rolling"}))
      ->capture_default_str()
      ->group(cache);
  app.add_option("--type", a.type, "of what it stores; that of the computation unless given")
      ->check(CLI::IsMember({"float64", "float32", "bfloat16", "float16", "int8"}))
      ->group(cache);
  app.add_option("--page-tokens", a.pages.page_tokens, "paged: tokens in a page, a multiple of 16")
      ->capture_default_str()
      ->group(cache);
  app.add_option("--sinks", a.rolling.sinks, "rolling: first tokens to keep")
      ->capture_default_str()
      ->group(cache);
  app.add_option("--window", a.rolling.window, "rolling: last tokens to keep")
      ->capture_default_str()
      ->group(cache);

  app.add_option("--threads", a.threads, "threads to use")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  app.add_flag("-v,--verbose", a.verbose, "say what was done and how long it took");

  try {
    app.parse(argc, argv);
    command_line::check_scheme_options(app, a);
    command_line::check_mask_options(app, a);
    check_together(app, a);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
}

}  // namespace decode
