-- What Quarto does to these two things and pandoc alone does not:
-- call-outs become boxes with a title, foldable code becomes <details>.

local NAMES = {note = 'Note', tip = 'Tip', warning = 'Warning', caution = 'Caution', important = 'Important'}

local function callout(div, kind)
  local title = div.attributes.title
  local blocks = div.content
  if not title and blocks[1] and blocks[1].t == 'Header' then
    title = pandoc.utils.stringify(blocks:remove(1))
  end
  local inlines = pandoc.utils.blocks_to_inlines(pandoc.read(title or NAMES[kind] or kind, 'markdown').blocks)
  local out = pandoc.List()
  if div.attributes.collapse == 'true' then
    out:insert(pandoc.RawBlock('html', '<details><summary class="callout-title">'))
    out:insert(pandoc.Plain(inlines))
    out:insert(pandoc.RawBlock('html', '</summary>'))
    out:extend(blocks)
    out:insert(pandoc.RawBlock('html', '</details>'))
  else
    out:insert(pandoc.Div({pandoc.Para(inlines)}, {class = 'callout-title'}))
    out:extend(blocks)
  end
  return pandoc.Div(out, {class = 'callout callout-' .. kind, id = div.identifier, role = 'note'})
end

function Div(div)
  for _, class in ipairs(div.classes) do
    local kind = class:match('^callout%-(%a+)$')
    if kind then return callout(div, kind) end
  end
end

function CodeBlock(code)
  local fold = code.attributes['code-fold']
  if not fold then return nil end
  local summary = code.attributes['code-summary'] or 'Code'
  code.attributes['code-fold'], code.attributes['code-summary'] = nil, nil
  return {
    pandoc.RawBlock('html', '<details class="code-fold"><summary>' .. summary .. '</summary>'),
    code,
    pandoc.RawBlock('html', '</details>'),
  }
end

-- Columns as wide as what they hold; a wide table scrolls by itself, not the page.
function Table(tbl)
  for i, column in ipairs(tbl.colspecs) do tbl.colspecs[i] = {column[1], nil} end
  return pandoc.Div({tbl}, {class = 'wide'})
end

-- Every heading of the text gets a link to itself.
function Header(header)
  if header.identifier ~= '' then
    header.content:insert(pandoc.Link({}, '#' .. header.identifier, '', {class = 'anchor', ['aria-label'] = 'Link to this section'}))
  end
  return header
end
