#include <Eigen/Dense>
#include <unsupported/Eigen/CXX11/Tensor>

/// What Eigen alone costs: its compile time is E, the unit of the others.
void attend(Eigen::Tensor<float, 4, Eigen::RowMajor>& out,
            const Eigen::Tensor<float, 4, Eigen::RowMajor>& q);
