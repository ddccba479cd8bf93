# Makes an SVG of a terminal's screen: what `tmux capture-pane -e -p` prints, with colours.
#
# Of SGR it knows bold, dim, reverse and the eight colours, which is what fuse3-top uses.

function width(text) { # in columns: bytes that go on with a character are none
    gsub(/[\200-\277]/, "", text)
    return length(text)
}

function attributes(codes,   n, i, code, parts) {
    n = split(codes, parts, ";")
    if (n == 0) { parts[1] = 0; n = 1 }
    for (i = 1; i <= n; i++) {
        code = parts[i] + 0
        if (code == 0) { bold = dim = reverse = 0; fg = bg = "" }
        else if (code == 1) bold = 1
        else if (code == 2) dim = 1
        else if (code == 7) reverse = 1
        else if (code == 22) bold = dim = 0
        else if (code == 27) reverse = 0
        else if (code == 39) fg = ""
        else if (code == 49) bg = ""
        else if (code >= 30 && code <= 37) fg = colour[code - 30]
        else if (code >= 40 && code <= 47) bg = colour[code - 40]
        else if (code == 38 && parts[i + 1] == 5) { fg = colour[parts[i + 2] % 8]; i += 2 }
        else if (code == 48 && parts[i + 1] == 5) { bg = colour[parts[i + 2] % 8]; i += 2 }
    }
}

function put(text,   columns, front, back, style) {
    columns = width(text)
    front = fg == "" ? "#d0d0d0" : fg
    back = bg
    if (reverse) { back = front; front = bg == "" ? "#16181c" : bg }
    if (back != "")
        body = body sprintf("<rect x=\"%.1f\" y=\"%.1f\" width=\"%.1f\" height=\"%d\" fill=\"%s\"/>\n",
            left + column * cell, top + (NR - 1) * line, columns * cell, line, back)
    if (text ~ /[^ ]/) {
        gsub(/&/, "\\&amp;", text); gsub(/</, "\\&lt;", text); gsub(/>/, "\\&gt;", text)
        style = bold ? " font-weight=\"bold\"" : ""
        style = style (dim ? " opacity=\"0.6\"" : "")
        body = body sprintf("<text x=\"%.1f\" y=\"%.1f\" textLength=\"%.1f\" fill=\"%s\"%s xml:space=\"preserve\">%s</text>\n",
            left + column * cell, top + (NR - 1) * line + 14, columns * cell, front, style, text)
    }
    column += columns
    if (column > widest) widest = column
}

BEGIN {
    split("#5a5a5a #ff5f5f #5fd75f #ffd75f #5f87ff #d787ff #5fd7d7 #ffffff", names, " ")
    for (i = 1; i <= 8; i++) colour[i - 1] = names[i]
    cell = 8.4; line = 18; left = 12; top = 10
}

{
    column = 0
    rest = $0
    while (match(rest, /\033\[[0-9;]*m/)) {
        if (RSTART > 1) put(substr(rest, 1, RSTART - 1))
        attributes(substr(rest, RSTART + 2, RLENGTH - 3))
        rest = substr(rest, RSTART + RLENGTH)
    }
    if (rest != "") put(rest)
}

END {
    w = widest * cell + 2 * left
    h = NR * line + 2 * top
    printf "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %.0f %d\" width=\"%.0f\" height=\"%d\" font-family=\"monospace\" font-size=\"14\" style=\"max-width: 100%%; height: auto\">\n", w, h, w, h
    printf "<title>%s</title>\n", title
    printf "<rect width=\"100%%\" height=\"100%%\" rx=\"6\" fill=\"#16181c\"/>\n"
    printf "%s</svg>\n", body
}
