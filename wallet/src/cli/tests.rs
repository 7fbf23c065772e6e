use clap::CommandFactory;

use super::arguments::Arguments;

#[test]
fn the_arguments_contradict_each_other_nowhere() {
    Arguments::command().debug_assert();
}
