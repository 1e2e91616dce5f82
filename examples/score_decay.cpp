#include <cmath>
#include <coca/coca.hpp>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <numbers>
#include <string>
#include <vector>

/// Score against distance: RoPE with an angle between query and key (the anomaly of Zhu et al.
/// 2024, figure 3), and the CoCA forms, which have none. Writes score_decay.csv and, where gnuplot
/// is installed, score_decay.svg into the folder named on the command line.
namespace {

using coca::Position;
constexpr double kPi = std::numbers::pi;

/// score(m, n) as the library computes it: phi(q, m) . psi(k, n).
template <class S>
double score(const S& scheme, const std::vector<double>& q, Position m,
             const std::vector<double>& k, Position n) {
  std::vector<double> phi(q.size()), psi(q.size());
  scheme.map_query(std::span<const double>(q), coca::Token{.position = m}, std::span(phi));
  scheme.map_key(std::span<const double>(k), coca::Token{.position = n}, std::span(psi));
  double sum = 0.0;
  for (std::size_t i = 0; i < phi.size(); ++i) sum += phi[i] * psi[i];
  return sum;
}

/// One line of the picture: its panel, its name, and the score at a distance from the query.
struct Curve {
  int panel;
  std::string name;
  std::vector<double> scores;
};

constexpr Position kDistances = 128;

template <class S>
Curve curve(int panel, std::string name, const S& scheme, const std::vector<double>& q,
            const std::vector<double>& k, Position query, double unit) {
  Curve result{panel, std::move(name), {}};
  for (Position distance = 0; distance <= kDistances; ++distance) {
    result.scores.push_back(score(scheme, q, query, k, query - distance) / unit);
  }
  return result;
}

std::vector<Curve> curves() {
  std::vector<Curve> all;
  // One pair that turns half a circle in 64 tokens. The key, of length 1, lies at angle 0 and the
  // query at the initial angle; keys come before the query, as in a causal model.
  const coca::Rope pair({.dim = 2, .inv_freq = {kPi / 64.0}});
  for (const int degrees : {0, 45, 90, 270, 315}) {
    const double angle = degrees * kPi / 180.0;
    all.push_back(curve(0, "RoPE " + std::to_string(degrees), coca::Rotary{pair},
                        {std::cos(angle), std::sin(angle)}, {1.0, 0.0}, 1000, 1.0));
  }
  // The same queries under CoCA: every angle gives the same curve in the strict form; in the slack
  // form it depends on where the query stands.
  for (const int degrees : {0, 315}) {
    const double angle = degrees * kPi / 180.0;
    all.push_back(curve(1, "strict " + std::to_string(degrees), coca::CocaStrict{pair},
                        {std::cos(angle), std::sin(angle)}, {1.0}, 1000, 1.0));
  }
  const std::vector<double> uneven{1.0, 0.0};
  for (const Position query : {1024, 1040, 1056}) {
    all.push_back(curve(1, "slack 0°, m = " + std::to_string(query), coca::CocaSlack{pair}, uneven,
                        {1.0}, query, 1.0));
  }
  // A whole head of 64 pairs, base 10000, keys that lie at one angle to the query in every pair.
  constexpr coca::Index dim = 128;
  const coca::Rope head({.dim = dim});
  std::vector<double> q(dim, 1.0);
  for (const int degrees : {0, 90, 270, 315}) {
    const double angle = degrees * kPi / 180.0;
    std::vector<double> k(dim);
    for (coca::Index j = 0; j < dim / 2; ++j) {
      // The query's pair (1, 1) lies at 45 degrees; the key lies `angle` behind it.
      const auto [first, second] = head.pair(j);
      k[static_cast<std::size_t>(first)] = std::sqrt(2.0) * std::cos(kPi / 4.0 - angle);
      k[static_cast<std::size_t>(second)] = std::sqrt(2.0) * std::sin(kPi / 4.0 - angle);
    }
    all.push_back(curve(2, "RoPE " + std::to_string(degrees), coca::Rotary{head}, q, k, 1000, dim));
  }
  all.push_back(
      curve(2, "CoCA", coca::CocaStrict{head}, q, std::vector<double>(dim / 2, 1.0), 1000, dim));
  return all;
}

void write_csv(const std::string& path, const std::vector<Curve>& all) {
  std::ofstream csv(path);
  csv << "distance";
  for (const Curve& c : all) csv << ',' << "panel " << c.panel + 1 << ": " << c.name;
  csv << '\n';
  for (std::size_t distance = 0; distance <= kDistances; ++distance) {
    csv << distance;
    for (const Curve& c : all) csv << ',' << c.scores[distance];
    csv << '\n';
  }
  if (!csv) throw std::runtime_error(path + " cannot be written");
}

bool plot(const std::string& csv, const std::string& svg, const std::vector<Curve>& all) {
  if (std::system("command -v gnuplot >/dev/null 2>&1") != 0) return false;
  FILE* gnuplot = popen("gnuplot", "w");
  if (gnuplot == nullptr) return false;
  const std::vector<std::string> titles{
      "RoPE, one pair: the nearest keys score lower when the angle is above 180°",
      "CoCA, the same queries: strict falls from the query on, slack depends on its place m",
      "A head of 64 pairs, base 10000, every pair at the same initial angle"};
  std::string script =
      "set terminal svg size 820,1020 font 'Helvetica,13' background '#ffffff'\n"
      "set output '" +
      svg +
      "'\n"
      "set datafile separator ','\n"
      "set multiplot layout 3,1\n"
      "set grid lc rgb '#dddddd'\nset border lc rgb '#888888'\n"
      "set key outside right samplen 2\nset lmargin 9\nset rmargin 27\n"
      "set xrange [0:128]\nset xtics 16\n"
      "set ylabel 'score'\nset xlabel 'tokens from the query back to the key'\n";
  const std::vector<std::string> colors{"#0072b2", "#56b4e9", "#009e73", "#d55e00", "#cc79a7"};
  for (int panel = 0; panel < 3; ++panel) {
    script += "set title \"" + titles[static_cast<std::size_t>(panel)] + "\"\n";
    script += panel == 2   ? "set autoscale y\n"
              : panel == 1 ? "set yrange [-1.6:1.6]\n"
                           : "set yrange [-1.2:1.2]\n";
    script += "plot ";
    std::size_t drawn = 0;
    for (std::size_t i = 0; i < all.size(); ++i) {
      if (all[i].panel != panel) continue;
      const bool degrees = all[i].name.find("m =") == std::string::npos && all[i].name != "CoCA";
      script += (drawn == 0 ? "'" : ", '") + csv + "' every ::1 using 1:" + std::to_string(i + 2) +
                " with lines lw 2 lc rgb '" + colors[drawn % colors.size()] + "'" +
                (drawn >= 2 && panel == 1   ? " dt 2"
                 : drawn == 1 && panel == 1 ? " dt 3"
                                            : "") +
                " title '" + all[i].name + (degrees ? "°'" : "'");
      ++drawn;
    }
    script += '\n';
  }
  std::fputs(script.c_str(), gnuplot);
  return pclose(gnuplot) == 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string folder = argc > 1 ? argv[1] : ".";
  try {
    const auto all = curves();
    write_csv(folder + "/score_decay.csv", all);
    std::cout << "Score against distance: " << folder << "/score_decay.csv\n";
    if (plot(folder + "/score_decay.csv", folder + "/score_decay.svg", all)) {
      std::cout << "As a picture:           " << folder << "/score_decay.svg\n";
    } else {
      std::cout << "No picture: gnuplot is not installed, or failed.\n";
    }
    return 0;
  } catch (const std::exception& error) {
    std::cerr << "score_decay: " << error.what() << '\n';
    return 1;
  }
}
