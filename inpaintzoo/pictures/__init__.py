"""Pictures: any file or array to pixels, and back.

The ways in:

- `images.read_image`, `open_image` with `decode_rgb`: an image file as upright 8-bit RGB, for data and metrics;
  `images.read_labels`: a label map. `images.write_image` writes a tensor.
- `picture_file.read_picture`: a file with every bit and all metadata (`PictureFile`), to be written again.
- `picture.picture_from`: a `Picture` from a Pillow image, an array or a tensor.

A `Picture` holds pixels as stored; `colours` says what they mean. `picture_file` hands what Pillow cannot do to `deep`
(16-bit colour), `tiffs` (unusual channels) and `pngs` (chunks); `metadata` adapts EXIF and XMP to an upright picture
and copies TIFF fields with `directories`. `boxes` has rectangles in a picture, `sheet` a sheet of small pictures.
"""
