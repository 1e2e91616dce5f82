#!/usr/bin/env bash
# Builds the site of the documentation, build/docs/html/index.html: the pages of docs/ and the reference of
# include/coca. Fails for a public symbol without a comment, enumerators, macros and namespaces included, and
# for a link that leads nowhere.
set -euo pipefail
cd "$(dirname "$0")/.."
scripts/install_deps.sh docs
rm -rf build/docs
mkdir -p build/docs/html
style=/usr/share/doxygen-awesome-css/doxygen-awesome.css

# Formulas are set by MathJax: those parts of Debian's that the site uses, or else a copy on the net.
mathjax=/usr/share/javascript/mathjax
if [ -d $mathjax ]; then
  for part in MathJax.js extensions jax/element jax/input/TeX \
    jax/output/SVG/{jax.js,config.js,autoload,fonts/TeX}; do
    install -d "build/docs/html/mathjax/$(dirname "$part")"
    cp -r "$mathjax/$part" "build/docs/html/mathjax/$part"
  done
fi

python3 docs/site/pages.py build/docs/pages build/docs/html
# Classes and functions come before the concepts that they satisfy.
doxygen -l build/docs/layout.xml
awk '/<concepts / { held = $0; next } /<\/memberdecl>/ && held { print held; held = "" } { print }' \
  build/docs/layout.xml >build/docs/concepts_last.xml
{
  cat docs/site/Doxyfile
  echo "LAYOUT_FILE = build/docs/concepts_last.xml"
  echo "PROJECT_NUMBER = $(sed -nE 's/#define COCA_VERSION_[A-Z]+ ([0-9]+)/\1/p' \
    include/coca/core/version.hpp | paste -sd .)"
  if [ -d $mathjax ]; then echo "MATHJAX_RELPATH = mathjax"; fi
  if [ -f $style ]; then echo "HTML_EXTRA_STYLESHEET = $style docs/site/style.css"; fi
} >build/docs/Doxyfile
doxygen build/docs/Doxyfile
python3 docs/site/check_comments.py build/docs/xml
python3 docs/site/check_links.py build/docs/html
echo "build/docs/html/index.html"
