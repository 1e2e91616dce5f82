#include "arguments.hpp"

#include <algorithm>
#include <filesystem>

#include "command_line/cli.hpp"
#include "command_line/program.hpp"

namespace attend {

namespace {

/// What each flag allows but all of them together do not: a flag that would change nothing, or a
/// file that would be written twice, is a slip of the hand.
void check_together(const CLI::App& app, const Arguments& a) {
  const auto named = [&](const std::string& mask) {
    return std::count(a.masks.begin(), a.masks.end(), mask) > 0 ||
           std::count(a.any_masks.begin(), a.any_masks.end(), mask) > 0;
  };
  const auto for_mask = [&](const std::string& flag, const std::string& mask) {
    if (app.count(flag) == 0 || named(mask)) return;
    throw CLI::ValidationError(flag, "goes with --mask " + mask);
  };
  for_mask("--causal-offset", "causal");
  for_mask("--window-left", "window");
  for_mask("--window-right", "window");
  for_mask("--dilation", "window");
  for_mask("--prefix", "prefix-lm");
  for_mask("--sink-tokens", "sinks");
  for_mask("--global-tokens", "global");
  for_mask("--documents", "documents");
  for_mask("--blocks", "blocks");
  for_mask("--block-size", "blocks");
  const auto with_flag = [&](const std::string& mask, const std::string& flag) {
    if (!named(mask) || app.count(flag) > 0) return;
    throw CLI::ValidationError("--mask " + mask, "needs " + flag);
  };
  with_flag("sinks", "--sink-tokens");
  with_flag("global", "--global-tokens");
  with_flag("documents", "--documents");
  with_flag("blocks", "--blocks");
  with_flag("blocks", "--block-size");

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

  const std::string mask = "Mask (a query sees what all of them show)";
  const auto add_masks = [&](const char* flag, std::vector<std::string>& masks, const char* text) {
    app.add_option(flag, masks, text)
        ->check(CLI::IsMember(
            {"full", "causal", "window", "prefix-lm", "sinks", "global", "documents", "blocks"}))
        ->delimiter(',')
        ->allow_extra_args(false)  // or it would take the files that follow it for masks
        ->group(mask);
  };
  add_masks("--mask", a.masks, "several with commas, or given again; full unless given");
  add_masks("--any-mask", a.any_masks,
            "a query sees, of what --mask leaves, what one of these shows");
  app.add_option("--causal-offset", a.causal_offset, "causal: key <= query + offset")->group(mask);
  app.add_option("--window-left", a.window_left, "window: tokens to the left, -1: no end")
      ->check(CLI::Range(-1.0, 1e15))
      ->group(mask);
  app.add_option("--window-right", a.window_right, "window: tokens to the right, -1: no end")
      ->check(CLI::Range(-1.0, 1e15))
      ->group(mask);
  app.add_option("--dilation", a.dilation, "window: every so many tokens, and so many times as far")
      ->check(CLI::Range(1.0, 1e15))
      ->group(mask);
  app.add_option("--prefix", a.prefix, "prefix-lm: tokens that all see")->group(mask);
  app.add_option("--sink-tokens", a.sink_tokens, "sinks: first tokens, which all see")->group(mask);
  app.add_option("--global-tokens", a.global_tokens,
                 "global: positions that see all and are seen by all, with commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(mask);
  app.add_option("--documents", a.documents,
                 "documents: an int64 file [batch or 1, tokens] of the document of each position")
      ->group(mask);
  app.add_option("--block-size", a.block_size, "blocks: tokens in a block")->group(mask);
  app.add_option("--blocks", a.blocks,
                 "blocks: an int64 file [count, 2] of pairs (query block, key block)")
      ->group(mask);
  app.add_flag("--alibi", a.alibi, "ALiBi's biases, by the slopes of its paper")->group(mask);
  app.add_option("--bool-mask", a.bool_mask,
                 "a bool file, true where a query sees a key: [batch, heads, queries, keys] with 1 "
                 "for 'the same for all', or [queries, keys]")
      ->group(mask);
  app.add_option("--bias", a.bias, "a file of q's type added to the scores, of the same shapes")
      ->group(mask);

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
    check_together(app, a);
    return std::nullopt;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
}

}  // namespace attend
