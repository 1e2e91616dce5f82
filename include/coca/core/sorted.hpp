#pragma once

#include <algorithm>
#include <vector>

/// Lists in order.
namespace coca::inline v0::detail {

/// Sorts by way of a heap: std::sort takes longer to compile than the lists here to sort.
template <class I, class Less>
void heap_sort(I first, I last, const Less& less) {
  std::make_heap(first, last, less);
  std::sort_heap(first, last, less);
}

/// In ascending order, each once.
template <class X>
void sort_once(std::vector<X>& list) {
  heap_sort(list.data(), list.data() + list.size(), [](const X& a, const X& b) { return a < b; });
  list.erase(std::unique(list.begin(), list.end()), list.end());
}

}  // namespace coca::inline v0::detail
