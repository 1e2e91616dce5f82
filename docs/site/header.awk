# What Doxygen reads in place of a header. The comments are the header's own; added is where they belong.
BEGIN {
  # Hooks of schemes, masks and scalings, of which SchemeDefaults, MaskDefaults and RopeScaling say what
  # they are for; and what those say in short, for a class that has one without a comment of its own.
  hook["check"] = "Throws std::invalid_argument if it does not fit the call."
  hook["shift_invariant"] = "Whether positions enter by their difference alone."
  hook["key_dim"] = "Width of the key operand, given that of the queries."
  hook["score_dim"] = "Width of phi and psi."
  hook["map_query"] = "phi(q, m) of a query at a token's position."
  hook["map_key"] = "psi(k, n) of a key operand at a token's position."
  hook["map_query_adjoint"] = "dq = (d phi / d q)^T dphi."
  hook["map_key_adjoint"] = "dk = (d psi / d k)^T dpsi."
  hook["logit"] = "The score that takes the place of a scaled score."
  hook["logit_derivative"] = "The derivative of logit by the scaled score."
  hook["key_defect"] = "What is wrong with a key operand, or nullptr."
  hook["defect"] = "What is wrong with a key operand, or nullptr."
  hook["turned_key"] = "How keys turn with their position."
  hook["rope"] = "The rope that turns queries and keys."
  hook["classify"] = "What is left of a tile of queries and keys."
  hook["visible"] = "Whether a query sees a key."
  hook["bias"] = "What is added to the score of a pair."
  hook["slope"] = "The slope of a head: -slope |query - key| is added to scores."
  hook["gradient"] = "The derivatives of the score by the query and by the key operand."
  hook["operator()(const RopeBase"] = "The frequencies that take the place of a rope's own."
  hook["operator()(Row"] = "The score of query q at position m and the key operand at position n."
  # The folder of a header is the part of the reference that its symbols belong to.
  folder["core"] = folder["scheme"] = folder["mask"] = folder["position"] = folder["cache"] = \
    folder["reference"] = 1
}

FNR == 1 {
  count = split(FILENAME, path, "/")
  group = path[count - 1] in folder ? path[count - 1] : "calls"
  class_base = path[count] ~ /_base\.hpp$/
  comment = declaration = ""
  documented = detail = 0
}

# It knows no nested inline namespaces.
{ sub(/namespace coca::inline v0/, "namespace coca") }
# Members of a base class are for those who call the classes made of it.
class_base { sub(/^namespace coca::detail/, "namespace coca") }
{ sub(/public detail::CacheBase/, "public CacheBase") }
/^namespace .*detail/ { detail = 1 }
/^}  \/\/ namespace .*detail/ { detail = 0 }
# What is for classes made of one is not for who calls it.
{ sub(/^ protected:/, " private:") }

# Pages are linked, and a summary does not end with "et al.".
/^ *\/\/\// {
  gsub(/docs\/mathematics\.md/, "@ref mathematics \"docs/mathematics.md\"")
  gsub(/et al\. /, "et al.\\ ")
}

# Macros for the library itself are not public. Any other without a comment is an error, of which Doxygen
# tells.
macro_goes_on { macro_goes_on = /\\$/; next }
/^#define/ && comment == "" && is_internal($2) { macro_goes_on = /\\$/; next }

# A formula is a paragraph of its own.
/^ *\/\/\/ / {
  formula = /^ *\/\/\/     /
  if (formula != in_formula) {
    # A summary ends where the formula begins.
    if (/^\/\/\//) { sub(/,\n$/, ":\n", comment); comment = comment "///\n" }
    else print substr($0, 1, index($0, "/")) "//"
  }
  in_formula = formula
}
!/^ *\/\/\// { in_formula = 0 }

# A comment in the first column: before what a header begins with, it is about the header.
/^\/\/\/($| )/ {
  comment = comment $0 "\n"
  next
}
comment != "" {
  about_header = /^namespace/ || (/^#/ && !/^#define/) || /^$/
  if (about_header) printf "/// @file\n%s\n", comment
  else if (detail) printf "%s", comment
  else printf "%s///\n/// @ingroup %s\n", comment, group
  comment = ""
}

# A member, from `template` on, where it has one, up to the line with its name.
/^  [a-zA-Z\[]/ || declaration != "" {
  declaration = declaration $0 "\n"
  if (!add_hook($0) && /^ +(template|requires)/) next
  printf "%s", declaration
  declaration = ""
  documented = 0
  next
}
{
  print
  documented = /^  \/\/\/ /
}

function is_internal(macro) {
  sub(/\(.*/, "", macro)
  return macro ~ /^COCA_(MULTI_TARGET|TARGET_[A-Z0-9]+|RETURN_[A-Z0-9]+|EXTERN(_[A-Z]+)?|VERSION_(TEXT|QUOTE))$/
}

# Puts the comment of a hook before the declaration, if the line has its name; and says whether it has.
function add_hook(line,    name) {
  for (name in hook) {
    if (!has_name(line, name)) continue
    if (!documented) declaration = "  /// " hook[name] "\n" declaration
    return 1
  }
  return 0
}

# Whether a line declares a function, or a constant, of that name.
function has_name(line, name,    at, rest) {
  at = index(line, name)
  if (at < 2 || substr(line, at - 1, 1) !~ /[ &*]/) return 0
  rest = substr(line, at + length(name))
  return name ~ /^operator/ ? rest ~ /^[ &]/ : rest ~ /^(\(| =)/
}
