package io.shardlake.flink;

import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Set;
import org.apache.flink.api.common.serialization.DeserializationSchema;
import org.apache.flink.avro.shaded.org.apache.avro.Schema;
import org.apache.flink.configuration.ConfigOption;
import org.apache.flink.configuration.ConfigOptions;
import org.apache.flink.configuration.ReadableConfig;
import org.apache.flink.table.api.DataTypes;
import org.apache.flink.table.connector.ChangelogMode;
import org.apache.flink.table.connector.format.DecodingFormat;
import org.apache.flink.table.connector.source.DynamicTableSource;
import org.apache.flink.table.data.RowData;
import org.apache.flink.table.factories.DeserializationFormatFactory;
import org.apache.flink.table.factories.DynamicTableFactory;
import org.apache.flink.table.factories.FactoryUtil;
import org.apache.flink.table.types.DataType;
import org.apache.flink.table.types.logical.RowType;
import org.apache.flink.table.types.utils.DataTypeUtils;

/**
 * The format 'avro-dead-letter': Avro in Confluent's wire format, where a record that cannot be decoded is a row too.
 *
 * <p>Such a row has null fields, and in the metadata columns value.error (a class) and value.error_message the reason, without
 * the value; value.raw has the bytes, of every row. A null value is a row whose error is null_value.
 */
public class AvroDeadLetterFormat implements DeserializationFormatFactory {
    private static final ConfigOption<String> URL = ConfigOptions.key("url").stringType().noDefaultValue();
    private static final ConfigOption<String> SUBJECT = ConfigOptions.key("subject").stringType().noDefaultValue();
    private static final ConfigOption<String> SCHEMA = ConfigOptions.key("schema").stringType().noDefaultValue();

    @Override
    public String factoryIdentifier() {
        return "avro-dead-letter";
    }

    @Override
    public Set<ConfigOption<?>> requiredOptions() {
        return Set.of(URL, SUBJECT, SCHEMA);
    }

    @Override
    public Set<ConfigOption<?>> optionalOptions() {
        return Set.of();
    }

    @Override
    public DecodingFormat<DeserializationSchema<RowData>> createDecodingFormat(
            DynamicTableFactory.Context context, ReadableConfig options) {
        FactoryUtil.validateFactoryOptions(this, options);
        new Schema.Parser().parse(options.get(SCHEMA)); // a bad one is refused now, not on the task manager
        return new Format(options.get(URL), options.get(SUBJECT), options.get(SCHEMA));
    }

    private static class Format implements DecodingFormat<DeserializationSchema<RowData>> {
        private final String url;
        private final String subject;
        private final String schema;
        private List<String> metadata = List.of();

        Format(String url, String subject, String schema) {
            this.url = url;
            this.subject = subject;
            this.schema = schema;
        }

        @Override
        public Map<String, DataType> listReadableMetadata() {
            Map<String, DataType> columns = new LinkedHashMap<>();
            columns.put("error", DataTypes.STRING());
            columns.put("error_message", DataTypes.STRING());
            columns.put("raw", DataTypes.BYTES());
            return columns;
        }

        @Override
        public void applyReadableMetadata(List<String> keys) {
            metadata = List.copyOf(keys);
        }

        @Override
        public DeserializationSchema<RowData> createRuntimeDecoder(DynamicTableSource.Context context, DataType physical) {
            // A name that no field can have: the schema may well have a field called raw.
            List<DataTypes.Field> added = metadata.stream()
                    .map(key -> DataTypes.FIELD("metadata " + key, listReadableMetadata().get(key))).toList();
            DataType produced = DataTypeUtils.appendRowFields(physical, added);
            RowType fields = (RowType) physical.getLogicalType();
            return new DeadLetterDecoder(url, subject, schema, fields, metadata, context.createTypeInformation(produced));
        }

        @Override
        public ChangelogMode getChangelogMode() {
            return ChangelogMode.insertOnly();
        }
    }
}
