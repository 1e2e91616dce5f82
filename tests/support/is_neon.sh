# is_neon.sh OBJDUMP FILE: whether the two products of the kernel, in the code of 64-bit ARM, multiply and add
# vectors at once. (GCC makes such instructions from -O2 on, or by -fexpensive-optimizations.)
"$1" -d "$2" | awk '
  /^[0-9a-f]+ <.*>:$/ {
    name = ""
    if (/baseline16[0-9]*scores/) name = "scores"
    if (/baseline16[0-9]*add_values/) name = "add_values"
  }
  name && /fmla\tv/ { ++count[name] }
  END {
    print count["scores"] + 0, "in the scores,", count["add_values"] + 0, "in the sums of values"
    exit !(count["scores"] && count["add_values"])
  }'
