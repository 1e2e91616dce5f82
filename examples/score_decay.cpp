#include <cmath>
#include <coca/coca.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <numbers>
#include <stdexcept>
#include <string>
#include <vector>

/// Score against distance: RoPE with an angle between query and key (the anomaly of Zhu et al.
/// 2024, figure 3), and the CoCA forms, which have none. Writes score_decay.csv, the gnuplot script
/// that draws it and, where gnuplot is installed, score_decay.svg into the folder named on the
/// command line.
namespace {

using coca::Position;
using Vector = std::vector<double>;
constexpr double kDegree = std::numbers::pi / 180.0;

/// score(m, n) as the library computes it: phi(q, m) . psi(k, n).
template <class S>
double score(const S& scheme, const Vector& q, Position m, const Vector& k, Position n) {
  Vector phi(q.size()), psi(q.size());
  scheme.map_query(std::span<const double>(q), coca::Token{.position = m}, std::span(phi));
  scheme.map_key(std::span<const double>(k), coca::Token{.position = n}, std::span(psi));
  double sum = 0.0;
  for (std::size_t i = 0; i < phi.size(); ++i) sum += phi[i] * psi[i];
  return sum;
}

/// How far from the query keys are scored, to both sides.
constexpr Position kReach = 128;

/// One column of the table: a score for each place of the key.
struct Curve {
  std::string name;
  Vector scores;

  template <class S>
  Curve(std::string called, const S& scheme, const Vector& q, Position m, const Vector& k)
      : name(std::move(called)) {
    for (Position n = m - kReach; n <= m + kReach; ++n) scores.push_back(score(scheme, q, m, k, n));
  }
};

/// A query or key of length 1 that lies at the same angle in every pair.
Vector at_angle(const coca::Rope& rope, int degrees) {
  Vector x(static_cast<std::size_t>(rope.dim()));
  const double length = std::sqrt(2.0 / static_cast<double>(rope.dim()));
  for (coca::Index j = 0; j < rope.dim() / 2; ++j) {
    const auto [first, second] = rope.pair(j);
    x[static_cast<std::size_t>(first)] = length * std::cos(degrees * kDegree);
    x[static_cast<std::size_t>(second)] = length * std::sin(degrees * kDegree);
  }
  return x;
}

void add_curves(std::vector<Curve>& all, const std::string& what, const coca::Rope& rope) {
  // Keys lie at angle 0 and the query at the initial angle, from the key to the query.
  for (const int degrees : {0, 45, 90, 270, 315}) {
    all.emplace_back(what + " rope " + std::to_string(degrees), coca::Rotary{rope},
                     at_angle(rope, degrees), 1024, at_angle(rope, 0));
  }
  // Under CoCA no angle is left, whatever the query: all of them give one curve in the strict form.
  // In the slack form members of a pair that differ (at 45 degrees they are equal) give another
  // curve at every place of the query.
  const Vector t(static_cast<std::size_t>(rope.dim() / 2), 1.0);
  for (const int degrees : {0, 315}) {
    all.emplace_back(what + " strict " + std::to_string(degrees), coca::CocaStrict{rope},
                     at_angle(rope, degrees), 1024, t);
  }
  all.emplace_back(what + " slack 45", coca::CocaSlack{rope}, at_angle(rope, 45), 1024, t);
  for (const Position m : {1024, 1032, 1048}) {
    all.emplace_back(what + " slack 10 m=" + std::to_string(m), coca::CocaSlack{rope},
                     at_angle(rope, 10), m, t);
  }
}

void write_csv(const std::string& path, const std::vector<Curve>& all) {
  std::ofstream csv(path);
  csv << "distance";
  for (const Curve& curve : all) csv << ',' << curve.name;
  csv << '\n';
  for (std::size_t i = 0; i < all.front().scores.size(); ++i) {
    csv << static_cast<Position>(i) - kReach;
    for (const Curve& curve : all) csv << ',' << curve.scores[i];
    csv << '\n';
  }
  csv.close();
  if (!csv) throw std::runtime_error(path + " cannot be written");
}

constexpr const char* kScript = R"gnuplot(# Draws score_decay.csv: gnuplot score_decay.gp
set terminal svg size 1180,900 font 'Helvetica,13' background '#ffffff'
set encoding utf8
set output 'score_decay.svg'
set datafile separator ','
set datafile columnheaders
set multiplot layout 2,2 margins 0.05,0.985,0.13,0.95 spacing 0.06,0.2
set border 3 lc rgb '#888888'
set tics nomirror textcolor rgb '#444444'
set grid lc rgb '#e6e6e6' lt 1
set arrow 1 from first 0, graph 0 to first 0, graph 1 nohead lc rgb '#888888' back
set key at graph 0.5, graph -0.21 center top horizontal Left reverse samplen 2 width -2 maxcols 3
set xlabel 'place of the key: tokens before (−) or after the query' offset 0,0.3
plain = '#bbbbbb'; a1 = '#56b4e9'; a2 = '#0072b2'; d1 = '#e69f00'; d2 = '#d55e00'
strict = '#99d8c9'; s1 = '#cc79a7'; s2 = '#8c510a'; s3 = '#7570b3'

set xrange [-64:64]; set xtics 16
set yrange [-1.1:1.1]; set ytics 0.5
set title 'RoPE, one pair: an initial angle Θ moves the peak away from the query'
plot 'score_decay.csv' using 1:'pair rope 0' w l lw 5 lc rgb plain title 'Θ = 0°', \
  '' using 1:'pair rope 45' w l lw 2 lc rgb a1 title '45° (a)', \
  '' using 1:'pair rope 90' w l lw 2 lc rgb a2 title '90° (a)', \
  '' using 1:'pair rope 315' w l lw 2 lc rgb d1 title '315° (d)', \
  '' using 1:'pair rope 270' w l lw 2 lc rgb d2 title '270° (d)'

set xrange [-128:128]; set xtics 32
set yrange [-0.5:1.1]
set title 'RoPE, a head of 64 pairs, base 10000, each at angle Θ'
plot 'score_decay.csv' using 1:'head rope 0' w l lw 5 lc rgb plain title 'Θ = 0°', \
  '' using 1:'head rope 45' w l lw 2 lc rgb a1 title '45° (a)', \
  '' using 1:'head rope 90' w l lw 2 lc rgb a2 title '90° (a)', \
  '' using 1:'head rope 315' w l lw 2 lc rgb d1 title '315° (d)', \
  '' using 1:'head rope 270' w l lw 2 lc rgb d2 title '270° (d)'

set xrange [-64:64]; set xtics 16
set yrange [-1.5:1.5]
set title 'CoCA, one pair: strict peaks at the query; slack of unequal members depends on m'
plot 'score_decay.csv' using 1:'pair strict 0' w l lw 6 lc rgb strict title 'strict', \
  '' using 1:'pair slack 45' w l lw 1.5 dt 2 lc rgb '#000000' title 'slack, equal', \
  '' using 1:'pair slack 10 m=1024' w l lw 2 lc rgb s1 title 'slack, m = 1024', \
  '' using 1:'pair slack 10 m=1032' w l lw 2 lc rgb s2 title 'm = 1032', \
  '' using 1:'pair slack 10 m=1048' w l lw 2 lc rgb s3 title 'm = 1048'

set xrange [-128:128]; set xtics 32
set yrange [-0.5:1.1]
set title 'CoCA, a head of 64 pairs, base 10000'
plot 'score_decay.csv' using 1:'head strict 0' w l lw 6 lc rgb strict title 'strict', \
  '' using 1:'head slack 45' w l lw 1.5 dt 2 lc rgb '#000000' title 'slack, equal', \
  '' using 1:'head slack 10 m=1024' w l lw 2 lc rgb s1 title 'slack, m = 1024', \
  '' using 1:'head slack 10 m=1032' w l lw 2 lc rgb s2 title 'm = 1032', \
  '' using 1:'head slack 10 m=1048' w l lw 2 lc rgb s3 title 'm = 1048'
unset multiplot
)gnuplot";

}  // namespace

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  try {
    std::vector<Curve> all;
    // One pair that turns half a circle in 64 tokens, and a whole head.
    add_curves(all, "pair", coca::Rope({.dim = 2, .inv_freq = {std::numbers::pi / 64.0}}));
    add_curves(all, "head", coca::Rope({.dim = 128, .base = 10000.0}));

    std::filesystem::current_path(folder);
    write_csv("score_decay.csv", all);
    std::ofstream("score_decay.gp") << kScript;
    std::cout << "Score against distance: " << folder << "/score_decay.csv\n";
    if (std::system("command -v gnuplot >/dev/null 2>&1") != 0) {
      std::cout << "No picture: gnuplot is not installed. With it (Debian's gnuplot-nox),\n"
                   "`gnuplot score_decay.gp` in that folder draws one.\n";
      return 0;
    }
    if (std::system("gnuplot score_decay.gp") != 0) throw std::runtime_error("gnuplot failed");
    std::cout << "As a picture:           " << folder << "/score_decay.svg\n";
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "score_decay: " << error.what() << '\n';
    return 1;
  }
}
