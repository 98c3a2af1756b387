"""Open every page of the built site in headless Chromium and check what a reader would meet.

    python tools/check_site.py              # checks _docs
    python tools/check_site.py FOLDER
    python tools/check_site.py --prove      # breaks a page on purpose in each way and expects to be told

Per page: it loads with an empty console and nothing from another host; no
equation or fence is left raw outside code; every internal link and anchor
resolves; images load; no two elements share an id; nothing is wider than the
screen; equation and code stand side by side on a wide screen and stacked on a
narrow one. Exit code 1 if anything is wrong.
"""
import argparse, functools, http.server, re, shutil, sys, tempfile, threading, time
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlparse

from selenium import webdriver

ROOT = Path(__file__).resolve().parent.parent
WIDE, NARROW = 1280, 390

LOOK = r'''
const done = arguments[arguments.length - 1];
const images = [...document.images];
images.forEach(image => image.loading = 'eager');
const texts = [], walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
while (walker.nextNode())
  if (!walker.currentNode.parentElement.closest('code, pre, script, style, annotation')) texts.push(walker.currentNode.data);
const ids = [...document.querySelectorAll('[id]')].map(element => element.id);
Promise.allSettled(images.map(image => image.decode())).then(() => done({
  title: document.title,
  text: texts.join('\n'),
  math: document.querySelectorAll('math').length,
  badMath: document.querySelectorAll('merror, span.math').length,
  links: [...document.querySelectorAll('a[href]')].map(link => link.getAttribute('href')),
  broken: images.filter(image => !image.naturalWidth).map(image => image.getAttribute('src')),
  noAlt: images.filter(image => !image.alt).map(image => image.getAttribute('src')),
  resources: performance.getEntriesByType('resource').map(entry => entry.name),
  ids: ids, twice: ids.filter((id, i) => ids.indexOf(id) != i)}));
'''
WIDTH = 'return document.documentElement.scrollWidth - window.innerWidth'
PAIRS = '''return [...document.querySelectorAll('.side-by-side')].map(pair => {
  const [left, right] = [...pair.children].map(child => child.getBoundingClientRect());
  return left.right <= right.left; })'''
RAW = [r'\$\$', r'\\[(\[]', r'\\begin\{', r'\\(?:frac|sum|text|mathbb?|hat|cdot|odot)\b', r'\$[^\s$\d][^\n$]{0,80}[^\s$]\$', r'^:::']


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args): pass


def serve(folder):
    """A local web server for `folder`, in a thread."""
    server = http.server.ThreadingHTTPServer(('127.0.0.1', 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def browser():
    """Headless Chromium that keeps to itself and records its console."""
    chromium = next(filter(None, map(shutil.which, ('chromium', 'chromium-browser', 'google-chrome'))), None)
    driver = shutil.which('chromedriver')
    if not chromium or not driver: raise SystemExit('check_site needs chromium and chromedriver (Debian: apt-get install chromium chromium-driver)')
    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for flag in ('headless', 'no-sandbox', 'disable-gpu', 'disable-dev-shm-usage', 'disable-background-networking',
                 'disable-component-update', 'disable-sync', 'no-first-run'): options.add_argument(f'--{flag}')
    options.set_capability('goog:loggingPrefs', {'browser': 'ALL'})
    return webdriver.Chrome(options=options, service=webdriver.ChromeService(driver))


def resize(driver, width):
    driver.execute_cdp_cmd('Emulation.setDeviceMetricsOverride', dict(width=width, height=900, deviceScaleFactor=1, mobile=False))


def look(driver, url):
    """What is on one page, and what is wrong with it taken by itself."""
    resize(driver, WIDE)
    driver.get(url)
    page = driver.execute_async_script(LOOK)
    host, wrong = urlparse(url).netloc, []
    wrong += [f'console: {entry["message"]}' for entry in driver.get_log('browser')]
    wrong += [f'loads {name} from another host' for name in page['resources'] if urlparse(name).netloc not in ('', host)]
    for pattern in RAW:
        for found in re.finditer(pattern, page['text'], re.M):
            wrong.append(f'left raw: {page["text"][max(0, found.start() - 20):found.end() + 20].strip()!r}')
    if page['badMath']: wrong.append(f'{page["badMath"]} equations were not converted')
    wrong += [f'image does not load: {source}' for source in page['broken']]
    wrong += [f'image without a description: {source}' for source in page['noAlt']]
    wrong += [f'id used twice: {name}' for name in sorted(set(page['twice']))]
    if not page['title'].strip(): wrong.append('no title')
    if not all(driver.execute_script(PAIRS)): wrong.append(f'equation and code are not side by side at {WIDE} pixels')
    for width in (WIDE, NARROW):
        resize(driver, width)
        if (over := driver.execute_script(WIDTH)) > 1: wrong.append(f'{over} pixels wider than a screen of {width}')
    if any(driver.execute_script(PAIRS)): wrong.append(f'equation and code are not stacked at {NARROW} pixels')
    return page, wrong


def bad_links(url, page, pages):
    """Internal links of a page that lead to no page, file or anchor."""
    for link in page['links']:
        target, anchor = urldefrag(urljoin(url, link))
        if urlparse(target).netloc != urlparse(url).netloc: continue
        if target.endswith('/'): target += 'index.html'
        if target not in pages: yield f'link to a missing page: {link}'
        elif anchor and unquote(anchor) not in pages[target]['ids']: yield f'link to a missing anchor: {link}'


def check(folder):
    """Check every page below `folder`; returns {page name: [what is wrong]} and the number of equations and links."""
    server, driver = serve(folder), browser()
    try:
        base = f'http://127.0.0.1:{server.server_port}/'
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob('*.html'))
        if 'index.html' not in names: raise SystemExit(f'no index.html in {folder}')
        seen = {base + name: look(driver, base + name) for name in names}
    finally:
        driver.quit()
        server.shutdown()
    pages = {url: page for url, (page, _) in seen.items()}
    problems = {url.removeprefix(base): wrong + list(bad_links(url, page, pages)) for url, (page, wrong) in seen.items()}
    linked = {urldefrag(urljoin(url, link))[0] for url, page in pages.items() for link in page['links']}
    for url in pages.keys() - linked: problems[url.removeprefix(base)].append('no page links here')
    return problems, sum(page['math'] for page in pages.values()), sum(len(page['links']) for page in pages.values())


FAULTS = [('$$x^2$$', '<p>so $$x^2$$ it is</p>'), ('(y', r'<p>and \(y\) too</p>'), ('$x_t$', '<p>where $x_t$ is the input</p>'),
          (':::', '<p>::: note</p>'), ('not converted', '<span class="math">x</span>'),
          ('console: ', '<script>throw new Error("boom")</script>'), ('console: ', '<link rel="stylesheet" href="none.css">'),
          ('another host', '<img src="http://localhost.invalid/x.png" alt="x">'),
          ('missing page', '<a href="nowhere.html">x</a>'), ('missing anchor', '<a href="#nowhere">x</a>'),
          ('does not load', '<img src="none.png" alt="none">'), ('without a description', '<img src="icon.svg">'),
          ('used twice', '<i id="one"></i><i id="one"></i>'), ('wider than', '<div style="width:3000px">x</div>'),
          ('not side by side', '<div class="side-by-side" style="display:block"><div>a</div><div>b</div></div>'),
          ('not stacked', '<div class="side-by-side" style="display:flex;width:300px"><i>a</i><i>b</i></div>'),
          ('no page links here', '')]


def prove(folder):
    """Make a site with one fault a page and check that each is reported; returns the faults that were missed."""
    with tempfile.TemporaryDirectory() as temporary:
        broken, page = Path(temporary), '<!DOCTYPE html><title>page</title><link rel="icon" href="icon.svg">'
        shutil.copy(folder/'icon.svg', broken)
        names = [f'fault-{i}.html' for i in range(len(FAULTS))]
        for name, (_, fault) in zip(names, FAULTS): (broken/name).write_text(page + fault)
        (broken/'index.html').write_text(page + ''.join(f'<a href="{name}">x</a>' for name in ['index.html', *names[:-1]]))
        problems = check(broken)[0]
    missed = [f'{told!r} was not reported for {fault}' for name, (told, fault) in zip(names, FAULTS)
              if not any(told in line for line in problems[name])]
    return missed + [f'reported without reason: {line}' for line in problems['index.html']]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('folder', nargs='?', type=Path, default=ROOT/'_docs')
    parser.add_argument('--prove', action='store_true', help='check the checker instead of the site')
    args = parser.parse_args()
    started, folder = time.perf_counter(), args.folder.resolve()
    if args.prove:
        missed = prove(folder)
        print('\n'.join(missed) if missed else f'all {len(FAULTS)} faults were reported')
        return 1 if missed else 0
    problems, equations, links = check(folder)
    for name, wrong in problems.items():
        for line in wrong: print(f'{name}: {line}')
    bad = sum(map(bool, problems.values()))
    print(f'{len(problems)} pages, {equations} equations, {links} links: {f"{bad} pages with problems" if bad else "all well"} '
          f'({time.perf_counter() - started:.0f} s)')
    return 1 if bad else 0


if __name__ == '__main__': sys.exit(main())
