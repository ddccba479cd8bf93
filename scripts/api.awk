# Reads pages of rustdoc (doc/CRATE/.., named from doc/) and prints the public API that they show, a declaration a line, with
# the item before it. For scripts/api.
#
# Declarations stand in the <pre class="rust item-decl"> of an item, in headers <h3> and <h4> of class code-header, and in the
# <code> of a field or a re-export; <h2 .. class="section-header"> says what follows. A record is a tag and the text after it.

BEGIN { RS = "<" }

FNR == 1 { page() }

{
    at = index($0, ">")
    tag = substr($0, 1, at - 1)
    text = substr($0, at + 1)
}

tag ~ /^h1/ && kind == "mod" { print item ": pub mod" } # not in the pages that lead to another one
tag ~ /^h2 .*section-header"/ { section = attribute("id") }
tag ~ / id="(structfield|reexport|variant\.[A-Za-z0-9_]+\.field)\./ { member = attribute("id") }

!reading && tag ~ /^pre class="rust item-decl"/ && !declared { begin("/pre"); declared = 1 }
!reading && tag ~ /^h[34] class="code-header"/ { begin("/" substr(tag, 1, 2)) }
!reading && tag == "code" && member != "" { begin("/code") }

reading && tag == reading { end() }
reading && !skipping && (tag ~ /^summary/ || tag ~ /class="tooltip"/) { skipping = "/" (tag ~ /^s/ ? "summary" : "a") }
skipping && tag == skipping { skipping = "" }
reading && !skipping { declaration = declaration (tag ~ /div/ ? " " : "") linked() }

function page(    parts, last, count, i) {
    count = split(FILENAME, parts, "/")
    last = parts[count]
    kind = last == "index.html" ? "mod" : substr(last, 1, index(last, ".") - 1)
    item = parts[1]
    for (i = 2; i < count; i++) item = item "::" parts[i]
    if (kind != "mod") item = item "::" substr(last, length(kind) + 2, length(last) - length(kind) - 6)
    section = member = implementation = reading = skipping = ""
    declared = 0
}

function attribute(name) {
    return match(tag, name "=\"[^\"]*\"") ? substr(tag, RSTART + length(name) + 2, RLENGTH - length(name) - 3) : ""
}

function begin(until) {
    reading = until
    declaration = ""
}

# The text, or for a link into the two crates its whole path.
function linked(    path) {
    if (tag !~ /^a .*class="(struct|enum|union|trait|type)"/) return text
    path = attribute("title")
    sub(/^[a-z]+ /, "", path)
    if (path ~ /^fuse3(_sys)?::/) return path
    if (path ~ /^(std|core)::(io|fmt)::.*(Error|Result)$/) return (path ~ /::io::/ ? "io::" : "fmt::") text
    return text
}

# On one line, without the commas of rustdoc's line breaks, and without what not every version of rustdoc shows.
function plain(text) {
    gsub(/&lt;/, "<", text)
    gsub(/&gt;/, ">", text)
    gsub(/&quot;|&#34;/, "\"", text)
    gsub(/&#39;/, "'", text)
    gsub(/&nbsp;|[ \n\t]/, " ", text)
    gsub(/&amp;|&#38;/, "\\&", text)
    gsub(/  +/, " ", text)
    gsub(/\( /, "(", text)
    gsub(/< /, "<", text)
    gsub(/\(_: /, "(", text)
    gsub(/, _: /, ", ", text)
    gsub(/,? \)/, ")", text)
    gsub(/,? >/, ">", text)
    sub(/^ /, "", text)
    sub(/[, ]+$/, "", text)
    return text
}

# Without the fields, variants and functions, which have lines of their own.
function header(text,    hidden) {
    if (kind !~ /^(struct|union|enum|trait)$/ || !match(text, / ?\{/)) return text
    hidden = index(text, "/* private fields */")
    text = substr(text, 1, RSTART - 1)
    if (hidden) sub(/^#\[repr\([^)]*\)\] /, "", text)
    sub(/,$/, "", text)
    return text (hidden ? " { private fields }" : "")
}

function end(    line) {
    line = plain(declaration)
    if (reading == "/pre") {
        line = header(line)
    } else if (kind == "type") {
        line = "" # what the other type is made of
    } else if (reading == "/code") {
        if (member ~ /^variant/) {
            sub(/^variant\./, "", member)
            sub(/\.field\..*/, "", member)
            line = member "." line
        }
        member = ""
    } else if (section ~ /^(required|provided)-/) {
        line = substr(section, 1, 8) " " line
    } else if (section ~ /^(implementations|trait-implementations|synthetic-implementations|implementors|foreign-impls)$/) {
        line = implemented(line)
    } else if (section !~ /^variants/) {
        line = ""
    }
    reading = ""
    if (line != "") print item ": " line
}

# What a line of an `impl` says: all of a type's own; of a trait only its types and constants; and of the traits that the
# compiler implements, those that every version of it has, and shows alike (what comes with PartialEq it does not).
function implemented(line) {
    if (line ~ /StructuralPartialEq/) return ""
    if (reading == "/h3") {
        implementation = line
        if (section == "implementations") return ""
        return section != "synthetic-implementations" || line ~ / !?(Send|Sync|Unpin|UnwindSafe|RefUnwindSafe) for / ? line : ""
    }
    if (section != "implementations" && line !~ /^(type|const) /) return ""
    if (line ~ /^(pub )?const [A-Z]/) sub(/ = .*/, "", line)
    return (implementation ~ /^impl [A-Za-z0-9_:]+$/ ? "" : implementation ": ") line
}
