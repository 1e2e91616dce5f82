#!/usr/bin/env python3
"""Makes pages for Doxygen of the project's Markdown files, which are written for GitHub.

    pages.py PAGES HTML    # from the root of the project

Headings get names that links may point to, formulas Doxygen's marks; files that are no pages are put as
text into HTML/files. A link to what is not there is an error.
"""

import html
import os
import pathlib
import re
import shutil
import sys

README = pathlib.Path("README.md")
SOURCES = [README, *sorted(pathlib.Path("docs").glob("*.md")),
           pathlib.Path("CONTRIBUTING.md"), pathlib.Path("CHANGELOG.md")]
# What is not prose: code, fenced or indented, and comments.
BLOCK = re.compile(r"(^```.*?^```$|^(?: {4}[^\n]*\n)+|<!--.*?-->)", re.MULTILINE | re.DOTALL)
HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")


def prose(text):
    return "".join(BLOCK.split(text)[::2])


class Page:
    def __init__(self, path):
        self.path = path
        self.text = path.read_text(encoding="utf-8")
        self.name = "mainpage" if path == README else path.stem.lower()
        self.headings = {self.slug(heading) for _, heading in HEADING.findall(prose(self.text))}

    @staticmethod
    def slug(heading):
        """What GitHub calls a heading."""
        return re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-")

    def label(self, slug):
        return f"{self.name}-{slug}" if slug else self.name


class Site:
    def __init__(self, folder):
        self.folder = folder
        self.pages = {path: Page(path) for path in SOURCES}

    def link(self, page, is_image, text, target):
        path, _, slug = target.partition("#")
        path = pathlib.Path(os.path.normpath(page.path.parent / path)) if path else page.path
        if is_image:
            return f"![{text}]({path.name})"
        if to := self.pages.get(path):
            if slug and slug not in to.headings:
                sys.exit(f"{page.path}: no heading of {path} is called #{slug}")
            return f"[{text}](@ref {to.label(slug)})"
        if not path.is_file():
            sys.exit(f"{page.path}: there is no file {path}")
        copy = self.folder / "files" / f"{path}.txt"
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        return f'<a href="files/{path}.txt">{text}</a>'

    def convert_prose(self, page, text):
        text = HEADING.sub(
            lambda m: f"{m[0]} {{#{page.label('' if len(m[1]) == 1 else page.slug(m[2]))}}}", text)
        text = LINK.sub(
            lambda m: m[0] if m[3].startswith("http") else self.link(page, m[1], " ".join(m[2].split()), m[3]),
            text)
        # Formulas, but not in code.
        pieces = re.split(r"(`[^`]+`)", text)
        for i in range(0, len(pieces), 2):
            pieces[i] = re.sub(r"\$\$(.+?)\$\$", r"\\f[\1\\f]", pieces[i], flags=re.DOTALL)
            pieces[i] = re.sub(r"(?<!\\f)\$([^$]+)\$", r"\\f$\1\\f$", pieces[i])
        # In a table's code Doxygen takes \| for what it is.
        for i in range(1, len(pieces), 2):
            if r"\|" in pieces[i]:
                code = html.escape(pieces[i].strip("`")).replace(r"\|", "&#124;")
                pieces[i] = f"<code>{code}</code>"
        return "".join(pieces)

    def convert(self, page):
        pieces = BLOCK.split(page.text)
        for i, piece in enumerate(pieces):
            if i % 2 == 0:
                pieces[i] = self.convert_prose(page, piece)
            elif piece.startswith("<!--"):
                # Nor its line: Doxygen knows no table behind two empty ones.
                pieces[i] = ""
                pieces[i + 1] = pieces[i + 1].removeprefix("\n\n").removeprefix("\n")
        return "".join(pieces)


def main():
    out, folder = map(pathlib.Path, sys.argv[1:])
    out.mkdir(parents=True, exist_ok=True)
    site = Site(folder)
    # In the order in which README.md names them.
    readme = site.pages[README].text
    order = sorted(site.pages, key=lambda path: (readme + str(path)).index(str(path)))
    order.remove(README)
    for number, path in enumerate([README, *order]):
        (out / f"{number:02}-{path.name}").write_text(site.convert(site.pages[path]), encoding="utf-8")


if __name__ == "__main__":
    main()
