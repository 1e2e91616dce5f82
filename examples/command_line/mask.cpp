#include "command_line/mask.hpp"

#include <algorithm>

#include "command_line/cli.hpp"

namespace command_line {

void add_mask_options(CLI::App& app, MaskArguments& a) {
  const auto add_masks = [&](const char* flag, std::vector<std::string>& masks, const char* text) {
    app.add_option(flag, masks, text)
        ->check(CLI::IsMember(
            {"full", "causal", "window", "prefix-lm", "sinks", "global", "documents", "blocks"}))
        ->delimiter(',')
        ->allow_extra_args(false)  // or it would take the files that follow it for masks
        ->group(kMaskGroup);
  };
  add_masks("--mask", a.masks, "several with commas, or given again; full unless given");
  add_masks("--any-mask", a.any_masks,
            "a query sees, of what --mask leaves, what one of these shows");
  app.add_option("--causal-offset", a.causal_offset, "causal: key <= query + offset")
      ->group(kMaskGroup);
  app.add_option("--window-left", a.window_left, "window: tokens to the left, -1: no end")
      ->check(CLI::Range(-1.0, 1e15))
      ->group(kMaskGroup);
  app.add_option("--window-right", a.window_right, "window: tokens to the right, -1: no end")
      ->check(CLI::Range(-1.0, 1e15))
      ->group(kMaskGroup);
  app.add_option("--dilation", a.dilation, "window: every so many tokens, and so many times as far")
      ->check(CLI::Range(1.0, 1e15))
      ->group(kMaskGroup);
  app.add_option("--prefix", a.prefix, "prefix-lm: tokens that all see")->group(kMaskGroup);
  app.add_option("--sink-tokens", a.sink_tokens, "sinks: first tokens, which all see")
      ->group(kMaskGroup);
  app.add_option("--global-tokens", a.global_tokens,
                 "global: positions that see all and are seen by all, with commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->group(kMaskGroup);
  app.add_option("--documents", a.documents,
                 "documents: an int64 file [batch or 1, tokens] of the document of each position")
      ->group(kMaskGroup);
  app.add_option("--block-size", a.block_size, "blocks: tokens in a block")->group(kMaskGroup);
  app.add_option("--blocks", a.blocks,
                 "blocks: an int64 file [count, 2] of pairs (query block, key block)")
      ->group(kMaskGroup);
  app.add_flag("--alibi", a.alibi, "ALiBi's biases, by the slopes of its paper")->group(kMaskGroup);
}

void check_mask_options(const CLI::App& app, const MaskArguments& a) {
  // A flag that would change nothing is a slip of the hand.
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
}

}  // namespace command_line
