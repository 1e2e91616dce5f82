# is_neon.sh OBJDUMP FILE: whether the products of the kernel, in the code of 64-bit ARM, multiply and add vectors
# at once. (GCC makes such instructions from -O2 on, or by -fexpensive-optimizations.)
"$1" -d "$2" | awk '
  /^[0-9a-f]+ <.*>:$/ {
    type = ""
    if (/baseline16[0-9]*multiply_sharedIf/) type = "float"
    if (/baseline16[0-9]*multiply_sharedId/) type = "double"
  }
  type && /fmla\tv/ { ++count[type] }
  END {
    print count["float"] + 0, "in products of float,", count["double"] + 0, "in those of double"
    exit !(count["float"] && count["double"])
  }'
