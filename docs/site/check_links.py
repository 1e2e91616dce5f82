#!/usr/bin/env python3
"""Says which links and pictures of a site lead nowhere, and which tables have not become any.

    check_links.py HTML    # links within the site; exit code 1 if there are any
"""

import html.parser
import pathlib
import sys
import urllib.parse


class Links(html.parser.HTMLParser):
    def __init__(self, path):
        super().__init__()
        self.targets = []
        self.names = set()
        self.lost_tables = 0
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        for key, value in attributes:
            if key in ("href", "src") and value:
                self.targets.append(value)
            elif key in ("id", "name") and value:
                self.names.add(value)

    def handle_data(self, data):
        self.lost_tables += data.count("<table")


def main():
    root = pathlib.Path(sys.argv[1])
    pages = {path: Links(path) for path in sorted(root.glob("*.html"))}
    broken = []
    for path, links in pages.items():
        if links.lost_tables:
            broken.append(f"{path.name}: tables as text")
        for target in links.targets:
            url = urllib.parse.urlparse(target)
            # Doxygen's summary of a class links to its nested classes, also where all of them are private.
            if url.scheme or url.netloc or target == "#nested-classes":
                continue
            to = root / urllib.parse.unquote(url.path) if url.path else path
            anchor = urllib.parse.unquote(url.fragment)
            if not to.is_file() or (anchor and to in pages and anchor not in pages[to].names):
                broken.append(f"{path.name}: {target}")
    print("\n".join(broken) if broken else f"{len(pages)} pages, no link leads nowhere")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
