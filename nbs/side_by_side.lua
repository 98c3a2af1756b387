-- Puts an equation and the code cell that computes it side by side.
--
-- A paragraph that is, or ends in, display math is set beside the code cell
-- that follows it; up to two short paragraphs in between ("where T is ...")
-- stay with the equation. What nbdev writes about a function (a rule, its
-- heading, its signature) may stand between them and then moves below the pair;
-- the one-line reference entries of tools/build_site.py stay under their code.
-- The widths are in styles.css: two columns on wide screens, stacked otherwise.
-- Quarto runs this filter (_quarto.yml) and so does tools/build_site.py.

local LONGEST = 600 -- characters of prose that may stand between equation and code

local function ends_in_math(block)
  if block.t ~= 'Para' then return false end
  for i = #block.content, 1, -1 do
    local inline = block.content[i]
    if inline.t == 'Math' then return inline.mathtype == 'DisplayMath' end
    if inline.t ~= 'Space' and inline.t ~= 'SoftBreak' then return false end
  end
  return false
end

local function is_code_cell(block)
  if block.t ~= 'Div' or not block.classes:includes('cell') then return false end
  local found = false
  block:walk { CodeBlock = function(code) found = found or code.classes:includes('cell-code') end }
  return found
end

-- The position after what nbdev wrote about a function, starting at block i.
local function after_docs(blocks, i)
  while blocks[i] and blocks[i].t == 'HorizontalRule' do
    repeat i = i + 1 until not blocks[i] or blocks[i].t == 'HorizontalRule' or is_code_cell(blocks[i])
  end
  return i
end

local function is_entry(block)
  return block ~= nil and block.t == 'Div' and block.classes:includes('api')
end

-- For an equation at block i: the last block that stays with it, and the
-- position of the code cell; nil where no code cell follows closely enough.
local function find_pair(blocks, i)
  local last, length, paragraphs = i, 0, 0
  while blocks[last + 1] and blocks[last + 1].t == 'Para' do
    last = last + 1
    if not ends_in_math(blocks[last]) then
      paragraphs = paragraphs + 1
      length = length + #pandoc.utils.stringify(blocks[last])
    end
  end
  if paragraphs > 2 or length > LONGEST then return nil end
  local cell = after_docs(blocks, last + 1)
  if blocks[cell] and is_code_cell(blocks[cell]) then return last, cell end
end

function Blocks(blocks)
  local out, i = pandoc.List(), 1
  while i <= #blocks do
    local last, cell
    if ends_in_math(blocks[i]) then last, cell = find_pair(blocks, i) end
    if cell then
      local equation = pandoc.Div(pandoc.List({table.unpack(blocks, i, last)}), {class = 'equation'})
      i = cell + 1
      while is_entry(blocks[i]) do i = i + 1 end
      local code = pandoc.Div(pandoc.List({table.unpack(blocks, cell, i - 1)}), {class = 'computed-by'})
      out:insert(pandoc.Div({equation, code}, {class = 'side-by-side'}))
      for between = last + 1, cell - 1 do out:insert(blocks[between]) end
    else
      out:insert(blocks[i])
      i = i + 1
    end
  end
  return out
end
