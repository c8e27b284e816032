"""XMP and IPTC as other programs write them."""

XMP = b"""<?xpacket begin="" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">
<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
 xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/"
 xmlns:xmp="http://ns.adobe.com/xap/1.0/" tiff:Orientation="6" exif:PixelXDimension="56"
 xmp:Rating="4"><exif:PixelYDimension>40</exif:PixelYDimension>
<xmp:Thumbnails><rdf:Alt>uncropped</rdf:Alt></xmp:Thumbnails></rdf:Description></rdf:RDF>
</x:xmpmeta><?xpacket end="w"?>"""


IPTC = b"\x1c\x02\x00\x00\x02\x00\x04" + b"\x1c\x02\x05\x00\x05title" + b"\x1c\x02\x19\x00\x03sea"
