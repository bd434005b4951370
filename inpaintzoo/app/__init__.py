"""`inpaintzoo app`: a page in the browser to remove objects and fill holes, and the same over HTTP.

A `Workplace` keeps uploads, models and segmenters (`workplace`); fills take turns (`line`); `server` has the routes,
and `guard` refuses what must not reach them. The page is plain HTML, CSS and JavaScript in `page/`.
"""
