#include "coca/mask/sliding_window.hpp"

#include "support/catch.hpp"
#include "support/tiles.hpp"

using coca::Site;
using coca::SlidingWindow;

TEST_CASE("a window reaches left and right of the query", "[mask]") {
  const SlidingWindow window(2, 1);
  for (coca::Index key = 0; key < 10; ++key) {
    CHECK(window.visible(Site{.query_index = 5, .key_index = key}) == (key >= 3 && key <= 6));
  }
  const SlidingWindow open(SlidingWindow::unlimited, 0);
  CHECK(open.visible(Site{.query_index = 1'000'000'000, .key_index = 0}));
  CHECK_FALSE(open.visible(Site{.query_index = 5, .key_index = 6}));
}

TEST_CASE("a window knows its tiles", "[mask]") {
  test::Random random(72);
  for (const coca::Index left : {0, 1, 4, 30}) {
    for (const coca::Index right : {0, 3, 30}) {
      CHECK(test::classifies_rightly(SlidingWindow(left, right), 60, 60, 0, 0, random, false));
      CHECK(test::classifies_rightly(SlidingWindow(left, right), 60, 60, 20, 5, random, false));
    }
  }
  CHECK(test::classifies_rightly(SlidingWindow(SlidingWindow::unlimited, SlidingWindow::unlimited),
                                 60, 60, 0, 0, random));
}

TEST_CASE("a negative window is an error", "[mask]") {
  CHECK_THROWS_WITH(SlidingWindow(-1, 0),
                    "coca: window.left is -1, expected from 0 to SlidingWindow::unlimited");
  CHECK_THROWS_WITH(SlidingWindow(0, -5),
                    "coca: window.right is -5, expected from 0 to SlidingWindow::unlimited");
}
