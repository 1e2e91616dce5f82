#pragma once

#include <memory>
#include <utility>

#include "coca/mask/mask.hpp"

namespace test {

/// Any mask that only hides, chosen when the program runs: one kernel to compile instead of one for
/// each.
class AnyHiding {
 public:
  template <coca::Mask M>
  explicit AnyHiding(M mask) : mask_(std::make_shared<Holder<M>>(std::move(mask))) {}

  void check(const coca::AttentionShape& shape) const { mask_->check(shape); }
  coca::Coverage classify(const coca::MaskTile& tile) const { return mask_->classify(tile); }
  bool visible(const coca::Site& site) const { return mask_->visible(site); }

 protected:
  struct Base {
    virtual ~Base() = default;
    virtual void check(const coca::AttentionShape& shape) const = 0;
    virtual coca::Coverage classify(const coca::MaskTile& tile) const = 0;
    virtual bool visible(const coca::Site& site) const = 0;
    virtual double bias(const coca::Site& site) const = 0;
    virtual double slope(coca::Index head) const = 0;
  };
  template <class M>
  struct Holder : Base {
    explicit Holder(M m) : mask(std::move(m)) {}
    void check(const coca::AttentionShape& shape) const override { mask.check(shape); }
    coca::Coverage classify(const coca::MaskTile& tile) const override {
      return mask.classify(tile);
    }
    bool visible(const coca::Site& site) const override { return mask.visible(site); }
    double bias(const coca::Site& site) const override {
      if constexpr (coca::Biased<M>) return static_cast<double>(mask.bias(site));
      return 0.0;
    }
    double slope(coca::Index head) const override {
      if constexpr (coca::Sloped<M>) return static_cast<double>(mask.slope(head));
      return 0.0;
    }
    M mask;
  };

  std::shared_ptr<const Base> mask_;
};

/// The same of masks that may have slopes.
class AnySloped : public AnyHiding {
 public:
  using AnyHiding::AnyHiding;
  explicit AnySloped(AnyHiding mask) : AnyHiding(std::move(mask)) {}
  double slope(coca::Index head) const { return mask_->slope(head); }
};

/// The same of masks that may add anything to scores.
class AnyAdding : public AnySloped {
 public:
  using AnySloped::AnySloped;
  explicit AnyAdding(AnyHiding mask) : AnySloped(std::move(mask)) {}
  double bias(const coca::Site& site) const { return mask_->bias(site); }
};

}  // namespace test
