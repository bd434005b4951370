"""Everything about label maps.

| module | knows |
|---|---|
| `classes` | names, colours and file values of the classes: Cityscapes, Outdoor Scenes, Pascal VOC, your own |
| `matching` | which label map belongs to which image |
| `contents` | whether a map fits its image, and which classes occur |
| `needs` | which parts of a training read labels, and whether the classes fit the generator |
| `segmenter` | how maps are made for images that have none |

`inpaintzoo.pictures.images.read_labels` reads a file; `FolderData` is the public entry point.
"""
