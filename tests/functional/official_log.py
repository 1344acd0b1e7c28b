"""A log of the official implementation, three epochs of PGD training."""

from __future__ import annotations

LOG = """\
[2024/03/05 07:00:09] - Namespace(model='PreActResNet18', batch_size=128, batch_size_test=128, \
data_dir='../cifar-data', epochs=3, lr_schedule='piecewise', lr_max=0.1, attack='pgd', restarts=1, epsilon=8, \
pgd_alpha=2, pgd_step_train=10, pgd_step_test=20, fgsm_alpha=10, norm='l_inf', fname='PGD_DOM_RE', seed=0, \
width_factor=10, resume=0, eval=False, chkpt_iters=1000, clamp=1.5, operate='RE', max_arg_iteration=0, \
arg_strength=0.0)
[2024/03/05 07:00:09] - V1.0.3
[2024/03/05 07:00:09] - Epoch \t Train Time \t\t Test Time \t LR \t\t Train NA Loss \t Train NA Acc \
\t Train RO Loss \t Train RO Acc  \t Test NA Loss \t Test NA Acc  \t Test RO Loss \t Test RO Acc
[2024/03/05 07:01:09] - 0 \t 7.4 \t \t 11.8 \t \t 0.1000 \t 2.3038 \t 0.1050 \
\t 2.3166 \t 0.0870 \t 2.3026 \t 0.2120 \t 2.3171 \t 0.1760
[2024/03/05 07:02:09] - 1 \t 7.4 \t \t 11.8 \t \t 0.0100 \t 2.2038 \t 0.2050 \
\t 2.2166 \t 0.1870 \t 2.2026 \t 0.3120 \t 2.2171 \t 0.2760
[2024/03/05 07:03:09] - 2 \t 7.4 \t \t 11.8 \t \t 0.0010 \t 2.1038 \t 0.3050 \
\t 2.1166 \t 0.2870 \t 2.1026 \t 0.4120 \t 2.1171 \t 0.2660
"""
