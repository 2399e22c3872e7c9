"""Random weights in the layouts of nnU-Net v2 and TotalSegmentator; run by a Python that has those packages.

python external_weights.py FOLDER
"""

import json
import sys
from pathlib import Path

import torch
from nnunetv2.utilities.get_network_from_plans import get_network_from_plans

PATCH = [32, 48, 48]
ARCHITECTURE = "dynamic_network_architectures.architectures.unet.PlainConvUNet"
KWARGS = {
    "n_stages": 2,
    "features_per_stage": [4, 8],
    "conv_op": "torch.nn.modules.conv.Conv3d",
    "kernel_sizes": [[3, 3, 3], [3, 3, 3]],
    "strides": [[1, 1, 1], [2, 2, 2]],
    "n_conv_per_stage": [1, 1],
    "n_conv_per_stage_decoder": [1],
    "conv_bias": True,
    "norm_op": "torch.nn.modules.instancenorm.InstanceNorm3d",
    "norm_op_kwargs": {"eps": 1e-05, "affine": True},
    "dropout_op": None,
    "dropout_op_kwargs": None,
    "nonlin": "torch.nn.LeakyReLU",
    "nonlin_kwargs": {"inplace": True},
}
IMPORTED = ["conv_op", "norm_op", "dropout_op", "nonlin"]


def plans(spacing):
    resample = {"is_seg": False, "order": 1, "order_z": 0, "force_separate_z": None}
    return {
        "dataset_name": "random",
        "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": spacing,
        "original_median_shape_after_transp": PATCH,
        "image_reader_writer": "SimpleITKIO",
        "transpose_forward": [0, 1, 2],
        "transpose_backward": [0, 1, 2],
        "experiment_planner_used": "ExperimentPlanner",
        "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {
            "0": {"mean": 60.0, "std": 60.0, "median": 60.0, "min": -200.0, "max": 300.0,
                  "percentile_00_5": -150.0, "percentile_99_5": 250.0}
        },
        "configurations": {
            "3d_fullres": {
                "data_identifier": "random",
                "preprocessor_name": "DefaultPreprocessor",
                "batch_size": 2,
                "patch_size": PATCH,
                "median_image_size_in_voxels": PATCH,
                "spacing": spacing,
                "normalization_schemes": ["CTNormalization"],
                "use_mask_for_norm": [False],
                "resampling_fn_data": "resample_data_or_seg_to_shape",
                "resampling_fn_seg": "resample_data_or_seg_to_shape",
                "resampling_fn_data_kwargs": resample,
                "resampling_fn_seg_kwargs": {**resample, "is_seg": True},
                "resampling_fn_probabilities": "resample_data_or_seg_to_shape",
                "resampling_fn_probabilities_kwargs": resample,
                "architecture": {
                    "network_class_name": ARCHITECTURE,
                    "arch_kwargs": KWARGS,
                    "_kw_requires_import": IMPORTED,
                },
                "batch_dice": True,
            }
        },
    }  # fmt: skip


def calibrate(network, liver):
    """Random smoothing kernels, and a readout of least squares that tells a bright ball from what is around it."""
    for weights in network.parameters():
        if weights.ndim == 5:
            weights.abs_()
    z, y, x = torch.meshgrid(*(torch.arange(n, dtype=torch.float32) for n in PATCH), indexing="ij")
    ball = ((z - 12) ** 2 + (y - 28) ** 2 + (x - 20) ** 2) < 12**2
    # what CTNormalization makes of 110 and 10 HU
    image = torch.where(ball, 0.83, -0.83) + 0.02 * torch.randn(PATCH)
    last, seen = network.decoder.seg_layers[-1], []
    handle = last.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    network.eval()(image[None, None])
    handle.remove()
    features = seen[0][0].reshape(last.in_channels, -1).T
    wanted = (2.0 * ball - 1).reshape(-1, 1)
    readout = torch.linalg.lstsq(features - features.mean(dim=0), wanted - wanted.mean()).solution[:, 0]
    score = features @ readout
    last.weight.zero_()
    last.bias.fill_(-100.0)
    last.bias[0] = 0.0
    last.weight[liver, :, 0, 0, 0] = 10 * readout
    last.bias[liver] = -5 * (score[ball.ravel()].mean() + score[~ball.ravel()].mean())


def write(folder, labels, liver, spacing, trainer):
    """A trained folder whose network has random weights but for its last layer."""
    fold = folder / "fold_0"
    fold.mkdir(parents=True)
    torch.manual_seed(4)
    network = get_network_from_plans(ARCHITECTURE, KWARGS, IMPORTED, 1, len(labels), deep_supervision=False)
    with torch.no_grad():
        calibrate(network, liver)
    dataset = {"channel_names": {"0": "CT"}, "labels": labels, "numTraining": 1, "file_ending": ".nii.gz"}
    (folder / "dataset.json").write_text(json.dumps(dataset))
    (folder / "plans.json").write_text(json.dumps(plans(spacing)))
    checkpoint = {
        "network_weights": network.state_dict(),
        "trainer_name": trainer,
        "init_args": {"configuration": "3d_fullres"},
        "inference_allowed_mirroring_axes": None,
    }
    torch.save(checkpoint, fold / "checkpoint_final.pth")


def main(folder):
    write(folder / "nnunet", {"background": 0, "liver": 1, "tumor": 2}, 1, [4.0, 3.0, 3.0], "nnUNetTrainer")
    trainer = "nnUNetTrainer_4000epochs_NoMirroring"
    labels = {"background": 0, **{f"class {n}": n for n in range(1, 118)}}
    place = folder / "totalsegmentator" / "Dataset297_TotalSegmentator_total_3mm_1559subj"
    write(place / f"{trainer}__nnUNetPlans__3d_fullres", labels, 5, [3.0, 3.0, 3.0], trainer)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
