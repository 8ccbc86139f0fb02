"""torchvision's classification networks, known without importing torchvision (which imports torch: 9 s).

One line is one published weights file, read off torchvision 0.29's own registry; a test compares them again.
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from imgsearch.errors import UserError

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5)
HALF_NORMALISED = ("efficientnet_v2_l",)  # mean and standard deviation 0.5; all others have ImageNet's

# network, weights (IMAGENET1K_...; * = torchvision's default), dim, last layer, pooling layer, crop, resize,
# interpolation, file
TABLE = """
alexnet            V1*            4096 classifier.6 -         224 256 bilinear alexnet-owt-7be5be79.pth
convnext_base      V1*            1024 classifier.2 avgpool   224 232 bilinear convnext_base-6075fbad.pth
convnext_large     V1*            1536 classifier.2 avgpool   224 232 bilinear convnext_large-ea097f82.pth
convnext_small     V1*            768  classifier.2 avgpool   224 230 bilinear convnext_small-0c510722.pth
convnext_tiny      V1*            768  classifier.2 avgpool   224 236 bilinear convnext_tiny-983f1562.pth
densenet121        V1*            1024 classifier   -         224 256 bilinear densenet121-a639ec97.pth
densenet161        V1*            2208 classifier   -         224 256 bilinear densenet161-8d451a50.pth
densenet169        V1*            1664 classifier   -         224 256 bilinear densenet169-b2777c0a.pth
densenet201        V1*            1920 classifier   -         224 256 bilinear densenet201-c1103571.pth
efficientnet_b0    V1*            1280 classifier.1 avgpool   224 256 bicubic  efficientnet_b0_rwightman-7f5810bc.pth
efficientnet_b1    V1             1280 classifier.1 avgpool   240 256 bicubic  efficientnet_b1_rwightman-bac287d4.pth
efficientnet_b1    V2*            1280 classifier.1 avgpool   240 255 bilinear efficientnet_b1-c27df63c.pth
efficientnet_b2    V1*            1408 classifier.1 avgpool   288 288 bicubic  efficientnet_b2_rwightman-c35c1473.pth
efficientnet_b3    V1*            1536 classifier.1 avgpool   300 320 bicubic  efficientnet_b3_rwightman-b3899882.pth
efficientnet_b4    V1*            1792 classifier.1 avgpool   380 384 bicubic  efficientnet_b4_rwightman-23ab8bcd.pth
efficientnet_b5    V1*            2048 classifier.1 avgpool   456 456 bicubic  efficientnet_b5_lukemelas-1a07897c.pth
efficientnet_b6    V1*            2304 classifier.1 avgpool   528 528 bicubic  efficientnet_b6_lukemelas-24a108a5.pth
efficientnet_b7    V1*            2560 classifier.1 avgpool   600 600 bicubic  efficientnet_b7_lukemelas-c5b4e57e.pth
efficientnet_v2_l  V1*            1280 classifier.1 avgpool   480 480 bicubic  efficientnet_v2_l-59c71312.pth
efficientnet_v2_m  V1*            1280 classifier.1 avgpool   480 480 bilinear efficientnet_v2_m-dc08266a.pth
efficientnet_v2_s  V1*            1280 classifier.1 avgpool   384 384 bilinear efficientnet_v2_s-dd5fe13b.pth
googlenet          V1*            1024 fc           avgpool   224 256 bilinear googlenet-1378be20.pth
inception_v3       V1*            2048 fc           avgpool   299 342 bilinear inception_v3_google-0cc3c7bd.pth
maxvit_t           V1*            512  classifier.5 classifier.0 224 224 bicubic  maxvit_t-bc5ab103.pth
mnasnet0_5         V1*            1280 classifier.1 -         224 256 bilinear mnasnet0.5_top1_67.823-3ffadce67e.pth
mnasnet0_75        V1*            1280 classifier.1 -         224 232 bilinear mnasnet0_75-7090bc5f.pth
mnasnet1_0         V1*            1280 classifier.1 -         224 256 bilinear mnasnet1.0_top1_73.512-f206786ef8.pth
mnasnet1_3         V1*            1280 classifier.1 -         224 232 bilinear mnasnet1_3-a4c69d6f.pth
mobilenet_v2       V1             1280 classifier.1 -         224 256 bilinear mobilenet_v2-b0353104.pth
mobilenet_v2       V2*            1280 classifier.1 -         224 232 bilinear mobilenet_v2-7ebf99e0.pth
mobilenet_v3_large V1             1280 classifier.3 avgpool   224 256 bilinear mobilenet_v3_large-8738ca79.pth
mobilenet_v3_large V2*            1280 classifier.3 avgpool   224 232 bilinear mobilenet_v3_large-5c1a4163.pth
mobilenet_v3_small V1*            1024 classifier.3 avgpool   224 256 bilinear mobilenet_v3_small-047dcff4.pth
regnet_x_16gf      V1             2048 fc           avgpool   224 256 bilinear regnet_x_16gf-2007eb11.pth
regnet_x_16gf      V2*            2048 fc           avgpool   224 232 bilinear regnet_x_16gf-ba3796d7.pth
regnet_x_1_6gf     V1             912  fc           avgpool   224 256 bilinear regnet_x_1_6gf-e3633e7f.pth
regnet_x_1_6gf     V2*            912  fc           avgpool   224 232 bilinear regnet_x_1_6gf-a12f2b72.pth
regnet_x_32gf      V1             2520 fc           avgpool   224 256 bilinear regnet_x_32gf-9d47f8d0.pth
regnet_x_32gf      V2*            2520 fc           avgpool   224 232 bilinear regnet_x_32gf-6eb8fdc6.pth
regnet_x_3_2gf     V1             1008 fc           avgpool   224 256 bilinear regnet_x_3_2gf-f342aeae.pth
regnet_x_3_2gf     V2*            1008 fc           avgpool   224 232 bilinear regnet_x_3_2gf-7071aa85.pth
regnet_x_400mf     V1             400  fc           avgpool   224 256 bilinear regnet_x_400mf-adf1edd5.pth
regnet_x_400mf     V2*            400  fc           avgpool   224 232 bilinear regnet_x_400mf-62229a5f.pth
regnet_x_800mf     V1             672  fc           avgpool   224 256 bilinear regnet_x_800mf-ad17e45c.pth
regnet_x_800mf     V2*            672  fc           avgpool   224 232 bilinear regnet_x_800mf-94a99ebd.pth
regnet_x_8gf       V1             1920 fc           avgpool   224 256 bilinear regnet_x_8gf-03ceed89.pth
regnet_x_8gf       V2*            1920 fc           avgpool   224 232 bilinear regnet_x_8gf-2b70d774.pth
regnet_y_128gf     SWAG_E2E_V1*   7392 fc           avgpool   384 384 bicubic  regnet_y_128gf_swag-c8ce3e52.pth
regnet_y_128gf     SWAG_LINEAR_V1 7392 fc           avgpool   224 224 bicubic  regnet_y_128gf_lc_swag-cbe8ce12.pth
regnet_y_16gf      V1             3024 fc           avgpool   224 256 bilinear regnet_y_16gf-9e6ed7dd.pth
regnet_y_16gf      V2*            3024 fc           avgpool   224 232 bilinear regnet_y_16gf-3e4a00f9.pth
regnet_y_16gf      SWAG_E2E_V1    3024 fc           avgpool   384 384 bicubic  regnet_y_16gf_swag-43afe44d.pth
regnet_y_16gf      SWAG_LINEAR_V1 3024 fc           avgpool   224 224 bicubic  regnet_y_16gf_lc_swag-f3ec0043.pth
regnet_y_1_6gf     V1             888  fc           avgpool   224 256 bilinear regnet_y_1_6gf-b11a554e.pth
regnet_y_1_6gf     V2*            888  fc           avgpool   224 232 bilinear regnet_y_1_6gf-0d7bc02a.pth
regnet_y_32gf      V1             3712 fc           avgpool   224 256 bilinear regnet_y_32gf-4dee3f7a.pth
regnet_y_32gf      V2*            3712 fc           avgpool   224 232 bilinear regnet_y_32gf-8db6d4b5.pth
regnet_y_32gf      SWAG_E2E_V1    3712 fc           avgpool   384 384 bicubic  regnet_y_32gf_swag-04fdfa75.pth
regnet_y_32gf      SWAG_LINEAR_V1 3712 fc           avgpool   224 224 bicubic  regnet_y_32gf_lc_swag-e1583746.pth
regnet_y_3_2gf     V1             1512 fc           avgpool   224 256 bilinear regnet_y_3_2gf-b5a9779c.pth
regnet_y_3_2gf     V2*            1512 fc           avgpool   224 232 bilinear regnet_y_3_2gf-9180c971.pth
regnet_y_400mf     V1             440  fc           avgpool   224 256 bilinear regnet_y_400mf-c65dace8.pth
regnet_y_400mf     V2*            440  fc           avgpool   224 232 bilinear regnet_y_400mf-e6988f5f.pth
regnet_y_800mf     V1             784  fc           avgpool   224 256 bilinear regnet_y_800mf-1b27b58c.pth
regnet_y_800mf     V2*            784  fc           avgpool   224 232 bilinear regnet_y_800mf-58fc7688.pth
regnet_y_8gf       V1             2016 fc           avgpool   224 256 bilinear regnet_y_8gf-d0d0e4a8.pth
regnet_y_8gf       V2*            2016 fc           avgpool   224 232 bilinear regnet_y_8gf-dc2b1b54.pth
resnet101          V1             2048 fc           avgpool   224 256 bilinear resnet101-63fe2227.pth
resnet101          V2*            2048 fc           avgpool   224 232 bilinear resnet101-cd907fc2.pth
resnet152          V1             2048 fc           avgpool   224 256 bilinear resnet152-394f9c45.pth
resnet152          V2*            2048 fc           avgpool   224 232 bilinear resnet152-f82ba261.pth
resnet18           V1*            512  fc           avgpool   224 256 bilinear resnet18-f37072fd.pth
resnet34           V1*            512  fc           avgpool   224 256 bilinear resnet34-b627a593.pth
resnet50           V1             2048 fc           avgpool   224 256 bilinear resnet50-0676ba61.pth
resnet50           V2*            2048 fc           avgpool   224 232 bilinear resnet50-11ad3fa6.pth
resnext101_32x8d   V1             2048 fc           avgpool   224 256 bilinear resnext101_32x8d-8ba56ff5.pth
resnext101_32x8d   V2*            2048 fc           avgpool   224 232 bilinear resnext101_32x8d-110c445d.pth
resnext101_64x4d   V1*            2048 fc           avgpool   224 232 bilinear resnext101_64x4d-173b62eb.pth
resnext50_32x4d    V1             2048 fc           avgpool   224 256 bilinear resnext50_32x4d-7cdf4587.pth
resnext50_32x4d    V2*            2048 fc           avgpool   224 232 bilinear resnext50_32x4d-1a0047aa.pth
shufflenet_v2_x0_5 V1*            1024 fc           -         224 256 bilinear shufflenetv2_x0.5-f707e7126e.pth
shufflenet_v2_x1_0 V1*            1024 fc           -         224 256 bilinear shufflenetv2_x1-5666bf0f80.pth
shufflenet_v2_x1_5 V1*            1024 fc           -         224 232 bilinear shufflenetv2_x1_5-3c479a10.pth
shufflenet_v2_x2_0 V1*            2048 fc           -         224 232 bilinear shufflenetv2_x2_0-8be3c8ee.pth
squeezenet1_0      V1*            512  classifier.1 classifier.3 224 256 bilinear squeezenet1_0-b66bff10.pth
squeezenet1_1      V1*            512  classifier.1 classifier.3 224 256 bilinear squeezenet1_1-b8a52dc0.pth
swin_b             V1*            1024 head         avgpool   224 238 bicubic  swin_b-68c6b09e.pth
swin_s             V1*            768  head         avgpool   224 246 bicubic  swin_s-5e29d889.pth
swin_t             V1*            768  head         avgpool   224 232 bicubic  swin_t-704ceda3.pth
swin_v2_b          V1*            1024 head         avgpool   256 272 bicubic  swin_v2_b-781e5279.pth
swin_v2_s          V1*            768  head         avgpool   256 260 bicubic  swin_v2_s-637d8ceb.pth
swin_v2_t          V1*            768  head         avgpool   256 260 bicubic  swin_v2_t-b137f0e2.pth
vgg11              V1*            4096 classifier.6 -         224 256 bilinear vgg11-8a719046.pth
vgg11_bn           V1*            4096 classifier.6 -         224 256 bilinear vgg11_bn-6002323d.pth
vgg13              V1*            4096 classifier.6 -         224 256 bilinear vgg13-19584684.pth
vgg13_bn           V1*            4096 classifier.6 -         224 256 bilinear vgg13_bn-abd245e5.pth
vgg16              V1*            4096 classifier.6 -         224 256 bilinear vgg16-397923af.pth
vgg16_bn           V1*            4096 classifier.6 -         224 256 bilinear vgg16_bn-6c64b313.pth
vgg19              V1*            4096 classifier.6 -         224 256 bilinear vgg19-dcbb9e9d.pth
vgg19_bn           V1*            4096 classifier.6 -         224 256 bilinear vgg19_bn-c79401a0.pth
vit_b_16           V1*            768  heads.head   -         224 256 bilinear vit_b_16-c867db91.pth
vit_b_16           SWAG_E2E_V1    768  heads.head   -         384 384 bicubic  vit_b_16_swag-9ac1b537.pth
vit_b_16           SWAG_LINEAR_V1 768  heads.head   -         224 224 bicubic  vit_b_16_lc_swag-4e70ced5.pth
vit_b_32           V1*            768  heads.head   -         224 256 bilinear vit_b_32-d86f8d99.pth
vit_h_14           SWAG_E2E_V1*   1280 heads.head   -         518 518 bicubic  vit_h_14_swag-80465313.pth
vit_h_14           SWAG_LINEAR_V1 1280 heads.head   -         224 224 bicubic  vit_h_14_lc_swag-c1eb923e.pth
vit_l_16           V1*            1024 heads.head   -         224 242 bilinear vit_l_16-852ce7e3.pth
vit_l_16           SWAG_E2E_V1    1024 heads.head   -         512 512 bicubic  vit_l_16_swag-4f3808c9.pth
vit_l_16           SWAG_LINEAR_V1 1024 heads.head   -         224 224 bicubic  vit_l_16_lc_swag-4d563306.pth
vit_l_32           V1*            1024 heads.head   -         224 256 bilinear vit_l_32-c7638314.pth
wide_resnet101_2   V1             2048 fc           avgpool   224 256 bilinear wide_resnet101_2-32ee1156.pth
wide_resnet101_2   V2*            2048 fc           avgpool   224 232 bilinear wide_resnet101_2-d733dc28.pth
wide_resnet50_2    V1             2048 fc           avgpool   224 256 bilinear wide_resnet50_2-95faca4d.pth
wide_resnet50_2    V2*            2048 fc           avgpool   224 232 bilinear wide_resnet50_2-9ba9bcbe.pth
"""


class Network(NamedTuple):
    """A network of torchvision's with one set of its published weights."""

    name: str
    weights: str
    default: bool
    dim: int  # of what enters the last layer
    last_layer: str  # dotted name of the module that gives the classes
    pool_layer: str  # dotted name of its AdaptiveAvgPool2d(1); empty where it pools otherwise or not at all
    crop: int  # pixels
    resize: int  # pixels, the shorter side before the crop
    resample: str
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    file: str


@cache
def networks() -> dict[str, list[Network]]:
    """Each network's name with its published weights, torchvision's default first."""
    found: dict[str, list[Network]] = {}
    for line in TABLE.strip().splitlines():
        name, weights, dim, last, pool, crop, resize, resample, file = line.split()
        mean, std = (HALF, HALF) if name in HALF_NORMALISED else (IMAGENET_MEAN, IMAGENET_STD)
        entry = Network(
            name, "IMAGENET1K_" + weights.rstrip("*"), weights.endswith("*"), int(dim), last, pool.strip("-"),
            int(crop), int(resize), resample, mean, std, file,
        )  # fmt: skip
        found.setdefault(name, []).append(entry)
    return {name: sorted(entries, key=lambda entry: not entry.default) for name, entries in found.items()}


def network(name: str, weights: str | None = None) -> Network:
    """One network, with its default weights or those named (``IMAGENET1K_V1``, in either case).

    >>> network("resnet50").dim, network("resnet50", "imagenet1k_v1").file
    (2048, 'resnet50-0676ba61.pth')

    Raises ``UserError`` for names that torchvision does not have.
    """
    known = networks()
    if name not in known:
        raise UserError.unknown("network", name, known)
    if weights is None:
        return known[name][0]
    for entry in known[name]:
        if entry.weights == weights.upper():
            return entry
    raise UserError.unknown(f"weights of {name}", weights.upper(), [entry.weights for entry in known[name]])
