#!/usr/bin/env python3
"""Says which enumerators and namespaces of the reference have no comment: Doxygen itself lets them pass.

    check_comments.py XML    # what Doxygen wrote; exit code 1 if there are any
"""

import pathlib
import sys
import xml.etree.ElementTree as ElementTree


def has_comment(element):
    return any("".join(text.itertext()).strip()
               for text in (element.find("briefdescription"), element.find("detaileddescription")))


def main():
    checked, bare = set(), set()
    for path in pathlib.Path(sys.argv[1]).glob("*.xml"):
        root = ElementTree.parse(path).getroot()
        named = [(compound.findtext("compoundname"), compound)
                 for compound in root.iterfind("compounddef[@kind='namespace']")]
        named += [(f"{enum.findtext('qualifiedname')}::{value.findtext('name')}", value)
                  for enum in root.iterfind(".//memberdef[@kind='enum']")
                  for value in enum.iterfind("enumvalue")]
        for name, element in named:
            if not name.startswith("coca"):  # std, which Doxygen adds
                continue
            checked.add(name)
            if not has_comment(element):
                bare.add(name)
    for name in sorted(bare):
        print(f"no comment: {name}")
    if not bare:
        print(f"{len(checked)} enumerators and namespaces, all with comments")
    sys.exit(1 if bare or not checked else 0)


if __name__ == "__main__":
    main()
